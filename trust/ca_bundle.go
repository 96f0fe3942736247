package trust

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
)

// maxRoots bounds a bundle. A rotation needs two.
const maxRoots = 8

// Bundle are the roots of a trust domain: one, or two while a root is rotated.
// The order is that of the keys' fingerprints, so equal bundles have equal text.
type Bundle struct {
	Domain Domain
	roots  []*x509.Certificate
}

// NewBundle makes a bundle of roots of one trust domain. One that is given
// twice counts once.
func NewBundle(domain Domain, roots ...*x509.Certificate) (Bundle, error) {
	b := Bundle{Domain: domain}
	for _, c := range roots {
		if err := checkRoot(c, domain); err != nil {
			return Bundle{}, err
		}
		if !slices.ContainsFunc(b.roots, c.Equal) {
			b.roots = append(b.roots, c)
		}
	}
	if len(b.roots) == 0 || len(b.roots) > maxRoots {
		return Bundle{}, fmt.Errorf("%w: a bundle has 1 to %d roots, not %d", ErrForm, maxRoots, len(b.roots))
	}
	slices.SortFunc(b.roots, func(x, y *x509.Certificate) int {
		if by := bytes.Compare([]byte(Fingerprint(x)), []byte(Fingerprint(y))); by != 0 {
			return by
		}
		return bytes.Compare(x.Raw, y.Raw)
	})
	return b, nil
}

// ParseBundle reads the PEM of a bundle.
func ParseBundle(text []byte, domain Domain) (Bundle, error) {
	roots, err := ParseCertificates(text, maxRoots)
	if err != nil {
		return Bundle{}, fmt.Errorf("read root bundle: %w", err)
	}
	b, err := NewBundle(domain, roots...)
	if err != nil {
		return Bundle{}, fmt.Errorf("read root bundle: %w", err)
	}
	return b, nil
}

// ParseRoots reads the PEM of a bundle as the fleet keeps it: its first root says
// the trust domain, which whoever trusts the file holds against what it knows.
func ParseRoots(text []byte) (Bundle, error) {
	roots, err := ParseCertificates(text, maxRoots)
	if err != nil {
		return Bundle{}, fmt.Errorf("read root bundle: %w", err)
	}
	_, domain, err := parseRoot(EncodeCertificates(roots[0]))
	if err != nil {
		return Bundle{}, fmt.Errorf("read root bundle: %w", err)
	}
	return ParseBundle(text, domain)
}

// PEM is the bundle as Envoy takes it.
func (b Bundle) PEM() []byte { return EncodeCertificates(b.roots...) }

// Roots are the roots, in the bundle's order.
func (b Bundle) Roots() []*x509.Certificate { return slices.Clone(b.roots) }

// Add is the bundle with one more root: the first step of a rotation.
func (b Bundle) Add(root *x509.Certificate) (Bundle, error) {
	return NewBundle(b.Domain, append(b.Roots(), root)...)
}

// Drop is the bundle without the root of a fingerprint: the last step of a
// rotation. The last root is never dropped.
func (b Bundle) Drop(fingerprint string) (Bundle, error) {
	rest := slices.DeleteFunc(b.Roots(), func(c *x509.Certificate) bool { return Fingerprint(c) == fingerprint })
	switch {
	case len(rest) == len(b.roots):
		return Bundle{}, fmt.Errorf("drop root: the bundle has none with %s", fingerprint)
	case len(rest) == 0:
		return Bundle{}, errors.New("drop root: it is the only one")
	}
	return NewBundle(b.Domain, rest...)
}

// pool is the bundle as the standard library wants it.
func (b Bundle) pool() *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range b.roots {
		p.AddCert(c)
	}
	return p
}
