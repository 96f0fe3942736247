package trust

import (
	"crypto/ecdsa"
	"crypto/x509"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Bounds of a leaf's life. The fleet may ask for more or less, within them.
const (
	MinLeafTTL = 10 * time.Minute
	MaxLeafTTL = 90 * 24 * time.Hour
)

// LeafKey is the key of a service's certificate, made on the service's host,
// and the request that shows one has it.
type LeafKey struct {
	key     *ecdsa.PrivateKey
	Request []byte // PKCS#10, DER
}

// NewLeafKey makes a key for a service. Each certificate has one of its own.
func NewLeafKey(service string) (LeafKey, error) {
	key, err := newCertKey()
	if err != nil {
		return LeafKey{}, err
	}
	request, err := newRequest(service, key)
	if err != nil {
		return LeafKey{}, err
	}
	return LeafKey{key, request}, nil
}

// String never shows the key.
func (k LeafKey) String() string { return "key of a leaf" }

// Order is what an authority puts into a leaf: the requester's key, and names
// that the authority itself found to be right.
type Order struct {
	Service string
	Request []byte // PKCS#10 of the requester's key; its names are not read
	Mesh    string // the domain of mesh names; the leaf says SERVICE.MESH for clients that read DNS names. "" = no such name
	TTL     time.Duration
}

// SignLeaf makes a service's certificate and answers with the chain as TLS
// wants it: the leaf, then the intermediate. It ends with the intermediate at
// the latest, and has an empty subject, so its one name is the SPIFFE URI.
func (a Authority) SignLeaf(o Order, now time.Time) (Chain, error) {
	_, key, err := parseRequest(o.Request)
	if err != nil {
		return nil, fmt.Errorf("sign leaf: %w", err)
	}
	if !nameForm.MatchString(o.Service) {
		return nil, fmt.Errorf("sign leaf: %w: %.80q is not the name of a service", ErrIdentity, o.Service)
	}
	if o.TTL < MinLeafTTL || o.TTL > MaxLeafTTL {
		return nil, fmt.Errorf("sign leaf: %w: a life of %s is not from %s to %s", ErrTime, o.TTL, MinLeafTTL, MaxLeafTTL)
	}
	life, err := within(LifeOf(a.Certificate), o.TTL, now)
	if err != nil {
		return nil, fmt.Errorf("sign leaf: %w", err)
	}
	c := &x509.Certificate{
		NotBefore: life.From, NotAfter: life.Until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{a.Domain.serviceURI(o.Service)},
	}
	if o.Mesh != "" {
		c.DNSNames = []string{o.Service + "." + o.Mesh}
	}
	leaf, err := sign(c, a.Certificate, key, a.key)
	if err != nil {
		return nil, err
	}
	return Chain{leaf, a.Certificate}, nil
}

// checkLeaf says whether a certificate has the form of a service's, and whose
// it is.
func checkLeaf(c *x509.Certificate, domain Domain) (service string, err error) {
	if _, err := p256(c.PublicKey); err != nil {
		return "", err
	}
	if len(c.URIs) != 1 {
		return "", fmt.Errorf("%w: %d URIs, not one", ErrIdentity, len(c.URIs))
	}
	if service, err = domain.Service(c.URIs[0].String()); err != nil {
		return "", err
	}
	switch {
	case c.IsCA || !c.BasicConstraintsValid:
		return "", fmt.Errorf("%w: the leaf of %s may sign", ErrForm, service)
	case c.KeyUsage != x509.KeyUsageDigitalSignature:
		return "", fmt.Errorf("%w: key usage of the leaf of %s", ErrForm, service)
	case len(c.ExtKeyUsage) != 2 || len(c.UnknownExtKeyUsage) > 0 || !isFor(c, x509.ExtKeyUsageServerAuth) || !isFor(c, x509.ExtKeyUsageClientAuth):
		return "", fmt.Errorf("%w: the leaf of %s is not for both ends of TLS", ErrForm, service)
	case c.SignatureAlgorithm != x509.ECDSAWithSHA256:
		return "", fmt.Errorf("%w: signature algorithm %s", ErrForm, c.SignatureAlgorithm)
	case len(c.IPAddresses)+len(c.EmailAddresses) > 0 || len(c.DNSNames) > 1:
		return "", fmt.Errorf("%w: the leaf of %s has names beside its own", ErrForm, service)
	case len(c.DNSNames) == 1 && !strings.HasPrefix(c.DNSNames[0], service+"."):
		return "", fmt.Errorf("%w: the leaf of %s says %q", ErrForm, service, c.DNSNames[0])
	case c.NotAfter.Sub(c.NotBefore) > MaxLeafTTL+Backdate:
		return "", fmt.Errorf("%w: the leaf of %s lives for %s", ErrForm, service, c.NotAfter.Sub(c.NotBefore))
	}
	return service, nil
}

func isFor(c *x509.Certificate, usage x509.ExtKeyUsage) bool {
	for _, u := range c.ExtKeyUsage {
		if u == usage {
			return true
		}
	}
	return false
}
