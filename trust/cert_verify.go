package trust

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// Errors of a verification beside ErrForm, ErrIdentity and ErrTime.
var (
	ErrUnknownRoot = errors.New("signed by no root of this fleet")
	ErrNotYet      = fmt.Errorf("%w: not valid yet", ErrTime)
	ErrExpired     = fmt.Errorf("%w: expired", ErrTime)
)

// Chain is a leaf and the intermediate that signed it, in TLS's order. The root
// is not part of it.
type Chain []*x509.Certificate

// ParseChain reads the PEM of a chain. Whether it is a good one Verify says.
func ParseChain(text []byte) (Chain, error) {
	all, err := ParseCertificates(text, 2)
	if err != nil {
		return nil, fmt.Errorf("read chain: %w", err)
	}
	if len(all) != 2 {
		return nil, fmt.Errorf("read chain: %w: %d certificates, want a leaf and its intermediate", ErrForm, len(all))
	}
	return all, nil
}

// PEM is the chain as Envoy takes it.
func (c Chain) PEM() []byte { return EncodeCertificates(c...) }

// Life is the time during which all of the chain is valid.
func (c Chain) Life() Life {
	life := LifeOf(c[0])
	for _, above := range c[1:] {
		if above.NotBefore.After(life.From) {
			life.From = above.NotBefore
		}
		if above.NotAfter.Before(life.Until) {
			life.Until = above.NotAfter
		}
	}
	return life
}

// Service says whose chain it is, by form and by the intermediate's signature,
// without asking for a root or the time. It is for a chain of a root that is
// not known here: nothing may be allowed because of it.
func (c Chain) Service(domain Domain) (string, error) {
	if len(c) != 2 {
		return "", fmt.Errorf("%w: %d certificates, want a leaf and its intermediate", ErrForm, len(c))
	}
	if err := checkIntermediate(c[1], domain); err != nil {
		return "", err
	}
	service, err := checkLeaf(c[0], domain)
	if err != nil {
		return "", err
	}
	if err := c[0].CheckSignatureFrom(c[1]); err != nil {
		return "", fmt.Errorf("%w: the leaf of %s was not signed by the intermediate that follows it", ErrForm, service)
	}
	return service, nil
}

// Verify says whose chain it is, if the bundle's roots vouch for it now: form,
// names, signatures, name constraints, path length, usages, and each
// certificate's time. The standard library verifies what standards ask; the
// checks of form are what this fleet asks besides.
func (b Bundle) Verify(c Chain, now time.Time) (service string, err error) {
	if service, err = c.Service(b.Domain); err != nil {
		return "", err
	}
	if err := b.VerifyIntermediate(c[1], now); err != nil {
		return "", err
	}
	if err := timely(c[0], "leaf of "+service, now); err != nil {
		return "", err
	}
	between := x509.NewCertPool()
	between.AddCert(c[1])
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := c[0].Verify(x509.VerifyOptions{Roots: b.pool(), Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
		if err != nil {
			return "", refused("leaf of "+service, err)
		}
	}
	return service, nil
}

// VerifyIntermediate says whether the bundle's roots vouch for an intermediate
// now.
func (b Bundle) VerifyIntermediate(c *x509.Certificate, now time.Time) error {
	if err := checkIntermediate(c, b.Domain); err != nil {
		return err
	}
	if err := timely(c, CAName(c), now); err != nil {
		return err
	}
	var vouching []*x509.Certificate
	for _, root := range b.roots {
		if c.CheckSignatureFrom(root) == nil {
			vouching = append(vouching, root)
		}
	}
	if len(vouching) == 0 {
		return fmt.Errorf("%w: %s", ErrUnknownRoot, CAName(c))
	}
	if err := timely(vouching[0], CAName(vouching[0]), now); err != nil {
		return err
	}
	_, err := c.Verify(x509.VerifyOptions{Roots: b.pool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return refused(CAName(c), err)
}

// timely names the certificate and both times, since a wrong clock is the usual
// reason.
func timely(c *x509.Certificate, name string, now time.Time) error {
	const form = time.RFC3339
	switch {
	case now.Before(c.NotBefore):
		return fmt.Errorf("%w: %s begins at %s, and here it is %s", ErrNotYet, name, c.NotBefore.UTC().Format(form), now.UTC().Format(form))
	case now.After(c.NotAfter):
		return fmt.Errorf("%w: %s ended at %s, and here it is %s", ErrExpired, name, c.NotAfter.UTC().Format(form), now.UTC().Format(form))
	}
	return nil
}

// refused is the standard library's refusal in this package's words.
func refused(name string, err error) error {
	if err == nil {
		return nil
	}
	if unknown := (x509.UnknownAuthorityError{}); errors.As(err, &unknown) {
		return fmt.Errorf("%w: %s", ErrUnknownRoot, name)
	}
	return fmt.Errorf("%w: %s: %w", ErrForm, name, err)
}
