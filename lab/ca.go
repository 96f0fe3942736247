package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/netip"
	"os"
	"time"
)

// CAFile is the certificate of the lab's CA below its folder: what `curl --cacert`
// takes. The key is beside it.
const (
	CAFile    = "ca.pem"
	caKeyFile = "ca.key"
)

// Lifetimes of the lab's certificates.
const (
	caTTL   = 10 * 365 * 24 * time.Hour
	leafTTL = 90 * 24 * time.Hour
	past    = time.Hour // before now, for hosts whose clock is slow
)

// CA vouches for servers that are not of the mesh: gateways with the certificate
// "lab-ca", and the externals that the lab answers for. The mesh has another one.
type CA struct {
	pair tls.Certificate
}

// CA reads the lab's CA, and makes it the first time.
func (l *Lab) CA(now time.Time) (*CA, error) {
	pair, err := tls.LoadX509KeyPair(l.path(CAFile), l.path(caKeyFile))
	if err == nil && now.Before(pair.Leaf.NotAfter) {
		return &CA{pair}, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the lab's CA: %w; delete %s to have another one made", err, l.path(CAFile))
	}
	ca, err := newCA(now)
	if err != nil {
		return nil, fmt.Errorf("make the lab's CA: %w", err)
	}
	key, err := ca.key()
	if err != nil {
		return nil, fmt.Errorf("make the lab's CA: %w", err)
	}
	if err := os.WriteFile(l.path(caKeyFile), key, 0o600); err != nil {
		return nil, fmt.Errorf("make the lab's CA: %w", err)
	}
	if err := os.WriteFile(l.path(CAFile), ca.PEM(), 0o644); err != nil {
		return nil, fmt.Errorf("make the lab's CA: %w", err)
	}
	return ca, nil
}

// CAPath is where the certificate of the lab's CA is.
func (l *Lab) CAPath() string { return l.path(CAFile) }

func newCA(now time.Time) (*CA, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "CA of a nixmesh lab"},
		NotBefore:             now.Add(-past),
		NotAfter:              now.Add(caTTL),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
	}
	pair, err := certify(template, nil)
	return &CA{pair}, err
}

// PEM is the CA's certificate.
func (c *CA) PEM() []byte { return encodeCertificate(c.pair.Leaf) }

func (c *CA) key() ([]byte, error) { return encodeKey(c.pair) }

// Issue makes a server's certificate and its key, as PEM. Names are those of
// hosts, wildcards too, and addresses.
func (c *CA) Issue(names []string, now time.Time) (chain, key []byte, err error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "server of a nixmesh lab"},
		NotBefore:             now.Add(-past),
		NotAfter:              now.Add(leafTTL),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if address, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, address.AsSlice())
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	pair, err := certify(template, &c.pair)
	if err != nil {
		return nil, nil, fmt.Errorf("issue a certificate of the lab's CA: %w", err)
	}
	if key, err = encodeKey(pair); err != nil {
		return nil, nil, fmt.Errorf("issue a certificate of the lab's CA: %w", err)
	}
	return encodeCertificate(pair.Leaf), key, nil
}

// Renews says whether a certificate that Issue made is to be replaced: by its age,
// for other names, or as another CA's.
func (c *CA) Renews(chain []byte, names []string, now time.Time) bool {
	block, _ := pem.Decode(chain)
	if block == nil {
		return true
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || leaf.CheckSignatureFrom(c.pair.Leaf) != nil || now.After(leaf.NotAfter.Add(-leafTTL/3)) {
		return true
	}
	if len(leaf.DNSNames)+len(leaf.IPAddresses) != len(names) {
		return true
	}
	for _, name := range names {
		if !covers(leaf, name) {
			return true
		}
	}
	return false
}

// covers says whether a name is one of a certificate's, letter by letter.
func covers(leaf *x509.Certificate, name string) bool {
	for _, own := range leaf.DNSNames {
		if own == name {
			return true
		}
	}
	for _, own := range leaf.IPAddresses {
		if own.String() == name {
			return true
		}
	}
	return false
}

// certify makes a key and its certificate, signed by an issuer or, without one,
// by itself.
func certify(template *x509.Certificate, issuer *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return tls.Certificate{}, err
	}
	parent, signer := template, any(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

func encodeCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func encodeKey(pair tls.Certificate) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}
