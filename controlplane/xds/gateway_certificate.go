package xds

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// gatewayCertificates builds the certificates of a gateway: its own, and those
// for names of hosts. Each is a secret, whatever it comes from, so that another
// one ends no connection.
func (b *builder) gatewayCertificates(name string, g *mesh.Gateway) {
	if g.Certificate != nil {
		b.gatewayCertificate(name, "", g.Certificate, hostsOf(g, ""))
	}
	for _, host := range certifiedHosts(g) {
		names := hostsOf(g, host)
		if !slices.Contains(names, host) {
			names = slices.Insert(names, 0, host)
		}
		b.gatewayCertificate(name, host, g.TLS[host], names)
	}
}

// gatewayCertificate builds one certificate, for these hosts. Where it cannot be
// had, that of the mesh's CA stands in for it: clients see who it is not, and the
// rest works.
func (b *builder) gatewayCertificate(name, host string, c *mesh.Certificate, hosts []string) {
	about := About{Gateway: name}
	what := "it is"
	if host != "" {
		what = host + " is"
	}
	secret := gatewaySecret(name, host)
	why := ""
	switch c.Source {
	case mesh.CertFile, mesh.CertLabCA:
		leaf, certificate, bad, err := b.chosen(secret, hosts, func() (Leaf, *x509.Certificate, error) { return b.certificateFile(name, host) })
		if err == nil {
			if bad != "" {
				b.problem(Standin, about, what+" served "+instead(certificate, c.File, bad))
			}
			b.addCertificate(secret, leaf, about)
			b.judge(certificate, hosts, about)
			return
		}
		why = fmt.Sprintf("that of %s cannot be used: %v", cmp.Or(c.File, "its file"), err)
	case mesh.CertACME:
		why = "nixmesh orders no certificate by ACME yet"
	}
	leaf, ok := Leaf{}, false
	if b.in.Leaf != nil {
		leaf, ok = b.in.Leaf(name)
	}
	if !ok {
		b.problem(Waiting, about, what+" without a certificate yet: nobody can connect")
		return
	}
	if why != "" {
		b.problem(Standin, about, what+" served with a certificate of the mesh's CA: "+why)
	}
	b.addCertificate(secret, leaf, about)
}

func (b *builder) addCertificate(name string, leaf Leaf, about About) {
	b.add(Secret, name, certificateSecret(name, leaf), about)
}

func certificateSecret(name string, leaf Leaf) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(leaf.Chain), PrivateKey: inline(leaf.Key)},
	}}
}

// certificateFile reads a certificate and its key. The error holds nothing of them.
func (b *builder) certificateFile(gateway, host string) (Leaf, *x509.Certificate, error) {
	files, ok := b.certificateFiles(gateway, host)
	if !ok {
		return Leaf{}, nil, errors.New("this host does not have it yet; deploy it")
	}
	return b.pairOf(files.Chain, files.Key)
}

// pairOf reads a certificate and its key from files of this host. One file for
// both is read once: it may be replaced at any time.
func (b *builder) pairOf(chainFile, keyFile string) (Leaf, *x509.Certificate, error) {
	if b.in.File == nil {
		return Leaf{}, nil, errors.New("no files are read here")
	}
	chain, err := b.in.File(chainFile)
	if err != nil {
		return Leaf{}, nil, errors.New("its file cannot be read; see nixmesh-unseal.service on the host")
	}
	key := chain
	if keyFile != chainFile {
		if key, err = b.in.File(keyFile); err != nil {
			return Leaf{}, nil, errors.New("the file of its key cannot be read; see nixmesh-unseal.service on the host")
		}
	}
	leaf, certificate, err := readPair(chain, key)
	if err != nil {
		err = fmt.Errorf("%w; deploy a good one", err)
	}
	return leaf, certificate, err
}

func (b *builder) certificateFiles(gateway, host string) (hostfacts.CertificateFiles, bool) {
	if b.in.Facts.Mesh == nil {
		return hostfacts.CertificateFiles{}, false
	}
	for _, g := range b.in.Facts.Mesh.Gateways {
		if i := slices.IndexFunc(g.Certificates, func(c hostfacts.CertificateFiles) bool { return c.Host == host }); g.Name == gateway && i >= 0 {
			return g.Certificates[i], true
		}
	}
	return hostfacts.CertificateFiles{}, false
}

// readPair reads a certificate with its chain, and its key, from PEM in which
// there may be more. It is one that Envoy takes.
func readPair(chain, key []byte) (Leaf, *x509.Certificate, error) {
	pair, err := tls.X509KeyPair(chain, key)
	switch {
	case err == nil:
	case findPEM(chain, "CERTIFICATE") == nil:
		return Leaf{}, nil, errors.New("there is no certificate in its file")
	case findPEM(key, "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY") == nil:
		return Leaf{}, nil, errors.New("there is no key in clear PEM in the file of its key")
	default:
		return Leaf{}, nil, errors.New("the certificate and the key are damaged, or not of each other")
	}
	leaf := pair.Leaf
	switch public := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < 2048 {
			return Leaf{}, nil, fmt.Errorf("its RSA key has %d bits, and less than 2048 is refused", public.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()}, public.Curve) {
			return Leaf{}, nil, errors.New("its key is of a curve that Envoy does not have: it has P-256, P-384 and P-521")
		}
	default:
		return Leaf{}, nil, fmt.Errorf("its key is %s, and Envoy has RSA and ECDSA", leaf.PublicKeyAlgorithm)
	}
	var own Leaf
	for _, der := range pair.Certificate {
		own.Chain = append(own.Chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	block := findPEM(key, "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY")
	own.Key = pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})
	return own, leaf, nil
}

// findPEM is the first block of some types, nil without any.
func findPEM(text []byte, types ...string) *pem.Block {
	for {
		block, rest := pem.Decode(text)
		if block == nil || slices.Contains(types, block.Type) {
			return block
		}
		text = rest
	}
}

// judge says what clients will have against a certificate that is served.
func (b *builder) judge(c *x509.Certificate, hosts []string, about About) {
	for _, host := range hosts {
		why := b.outside(c)
		if !isFor(c, host) {
			why = "is not for that name"
		}
		if why != "" {
			b.problem(Missing, about, fmt.Sprintf("clients refuse the certificate of %s: it %s; deploy another", host, why))
		}
	}
}

// isFor says whether a certificate is for a name; a wildcard has to be in it as it
// is.
func isFor(c *x509.Certificate, host string) bool {
	return slices.Contains(c.DNSNames, host) || c.VerifyHostname(host) == nil
}
