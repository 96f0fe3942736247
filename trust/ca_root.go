package trust

import (
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// RootTTL is how long a root lives.
const RootTTL = 10 * 365 * 24 * time.Hour

// Root is a fleet's root with its private key. It exists where an operator
// opened it, for as long as it takes to sign an intermediate, and never on a
// host.
type Root struct {
	Certificate *x509.Certificate
	Domain      Domain
	key         *ecdsa.PrivateKey
}

// NewRoot makes a fleet's first root, whose key names the trust domain.
func NewRoot(fleet string, now time.Time) (Root, error) {
	return newRoot(fleet, "", now)
}

// NextRoot makes a root that follows another in the same trust domain.
func NextRoot(fleet string, domain Domain, now time.Time) (Root, error) {
	if _, err := ParseDomain(string(domain)); err != nil {
		return Root{}, err
	}
	return newRoot(fleet, domain, now)
}

func newRoot(fleet string, domain Domain, now time.Time) (Root, error) {
	key, err := newCertKey()
	if err != nil {
		return Root{}, err
	}
	sum, err := keyHash(&key.PublicKey)
	if err != nil {
		return Root{}, err
	}
	first, err := newDomain(fleet, sum)
	if err != nil {
		return Root{}, err
	}
	if domain == "" {
		domain = first
	}
	// Roots of one fleet have names of their own, so that a verifier that looks
	// an issuer up by name finds the right one of two.
	c := caTemplate(domain, "root "+hex.EncodeToString(sum[:4]), Life{now.Add(-Backdate), now.Add(RootTTL)})
	c.MaxPathLen = 1
	signed, err := sign(c, c, &key.PublicKey, key)
	if err != nil {
		return Root{}, err
	}
	return Root{Certificate: signed, Domain: domain, key: key}, nil
}

// caTemplate is what roots and intermediates have in common.
func caTemplate(domain Domain, name string, life Life) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{domain.Fleet() + " CA"}, CommonName: name},
		NotBefore: life.From, NotAfter: life.Until,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true, IsCA: true,
		URIs: []*url.URL{domain.uri()},
	}
}

// CAName is what people read of a CA's certificate: "shop CA (db1)" of the
// authority on db1, "shop CA (root 3fa9c1d2)" of a root.
func CAName(c *x509.Certificate) string {
	return fmt.Sprintf("%.64s (%.64s)", strings.Join(c.Subject.Organization, " "), c.Subject.CommonName)
}

// checkRoot says whether a certificate is a root of a trust domain, by form
// and by its own signature. Time is the verifier's matter.
func checkRoot(c *x509.Certificate, domain Domain) error {
	if err := checkCA(c, domain, 1); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	if err := c.CheckSignatureFrom(c); err != nil {
		return fmt.Errorf("%w: the root did not sign itself", ErrForm)
	}
	return nil
}

// checkCA checks what roots and intermediates have in common.
func checkCA(c *x509.Certificate, domain Domain, pathLen int) error {
	switch _, err := p256(c.PublicKey); {
	case err != nil:
		return err
	case !c.IsCA || !c.BasicConstraintsValid:
		return fmt.Errorf("%w: %s may not sign", ErrForm, CAName(c))
	case c.MaxPathLen != pathLen || pathLen == 0 && !c.MaxPathLenZero:
		return fmt.Errorf("%w: path length of %s", ErrForm, CAName(c))
	case c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0:
		return fmt.Errorf("%w: key usage of %s", ErrForm, CAName(c))
	case c.SignatureAlgorithm != x509.ECDSAWithSHA256:
		return fmt.Errorf("%w: signature algorithm %s", ErrForm, c.SignatureAlgorithm)
	case !domain.holds(c.URIs):
		return fmt.Errorf("%w: %s is of another one than %s", ErrIdentity, CAName(c), domain)
	case len(c.DNSNames)+len(c.IPAddresses)+len(c.EmailAddresses) > 0:
		return fmt.Errorf("%w: %s has names beside its trust domain", ErrForm, CAName(c))
	}
	return nil
}

// Fingerprint names the root, as the lock has it.
func (r Root) Fingerprint() string { return Fingerprint(r.Certificate) }

// String never shows the key.
func (r Root) String() string { return CAName(r.Certificate) }

// Secret is the root as it is kept in the clear, in the lab only: the private
// key and the certificate in PEM.
func (r Root) Secret() ([]byte, error) {
	key, err := encodeKey(r.key)
	if err != nil {
		return nil, err
	}
	return append(key, EncodeCertificates(r.Certificate)...), nil
}

// Seal is the root as it is kept in the fleet's repository: an age file for
// the operators who may open it.
func (r Root) Seal(recipients []string) ([]byte, error) {
	secret, err := r.Secret()
	if err != nil {
		return nil, err
	}
	return Encrypt(secret, recipients)
}

// OpenRoot opens what Seal made.
func OpenRoot(sealed []byte, identities ...AgeIdentity) (Root, error) {
	secret, err := Decrypt(sealed, identities...)
	if err != nil {
		return Root{}, fmt.Errorf("open CA root: %w", err)
	}
	return ParseRoot(secret)
}

// ParseRoot reads what Secret wrote. The certificate says the trust domain.
func ParseRoot(secret []byte) (Root, error) {
	key, rest, err := keyed(secret)
	if err != nil {
		return Root{}, fmt.Errorf("read CA root: %w", err)
	}
	c, domain, err := parseRoot(rest)
	if err != nil {
		return Root{}, fmt.Errorf("read CA root: %w", err)
	}
	if !key.PublicKey.Equal(c.PublicKey) {
		return Root{}, fmt.Errorf("read CA root: %w: key and certificate do not belong together", ErrForm)
	}
	return Root{Certificate: c, Domain: domain, key: key}, nil
}

// parseRoot reads one root and the trust domain that it names.
func parseRoot(text []byte) (*x509.Certificate, Domain, error) {
	all, err := ParseCertificates(text, 1)
	if err != nil {
		return nil, "", err
	}
	if len(all[0].URIs) != 1 {
		return nil, "", fmt.Errorf("%w: the root names no trust domain", ErrForm)
	}
	domain, err := ParseDomain(all[0].URIs[0].Host)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrForm, err)
	}
	return all[0], domain, checkRoot(all[0], domain)
}
