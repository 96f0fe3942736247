package trust

import (
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// IntermediateTTL is how long an intermediate lives where the fleet does not
// say otherwise.
const IntermediateTTL = 365 * 24 * time.Hour

// ErrTime is a certificate whose time is over or has not come, or which would
// be one.
var ErrTime = errors.New("outside of its time")

// SignAuthority answers a host's request with an intermediate: it may sign
// leaves and no further CA, and its names end at the trust domain's border: a
// critical URI name constraint, which Go and OpenSSL hold (tested), and our own
// check of the name besides.
// Within the trust domain an intermediate can name any service. The request
// has to be of the host that the operator means.
func (r Root) SignAuthority(request []byte, host string, ttl time.Duration, now time.Time) ([]byte, error) {
	block, rest, err := pemBlock(request)
	if err != nil || len(rest) > 0 || block.Type != pemRequest {
		return nil, fmt.Errorf("sign intermediate: %w: no certificate request", ErrForm)
	}
	name, key, err := parseRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("sign intermediate: %w", err)
	}
	if name != host || !nameForm.MatchString(host) {
		return nil, fmt.Errorf("sign intermediate: %w: the request is of %.80q, not of %q", ErrForm, name, host)
	}
	life, err := within(LifeOf(r.Certificate), ttl, now)
	if err != nil {
		return nil, fmt.Errorf("sign intermediate: root: %w", err)
	}
	c := caTemplate(r.Domain, host, life)
	c.MaxPathLenZero = true
	c.PermittedDNSDomainsCritical = true // of all name constraints, despite its name
	c.PermittedURIDomains = []string{string(r.Domain)}
	signed, err := sign(c, r.Certificate, key, r.key)
	if err != nil {
		return nil, err
	}
	return EncodeCertificates(signed), nil
}

// within is a life from a little before now, which ends with the issuer's at
// the latest.
func within(issuer Life, ttl time.Duration, now time.Time) (Life, error) {
	if !issuer.Contains(now) {
		return Life{}, fmt.Errorf("%w: the issuer is valid from %s to %s, and it is %s", ErrTime,
			issuer.From.UTC().Format(time.RFC3339), issuer.Until.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if ttl <= 0 {
		return Life{}, fmt.Errorf("%w: a life of %s", ErrTime, ttl)
	}
	life := Life{now.Add(-backdate(ttl)), now.Add(ttl)}
	if life.From.Before(issuer.From) {
		life.From = issuer.From
	}
	if life.Until.After(issuer.Until) {
		life.Until = issuer.Until
	}
	return life, nil
}

// Authority is an intermediate with its private key, on its host.
type Authority struct {
	Host        string
	Domain      Domain
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Accept joins the key of a request with the intermediate that answers it. The
// bundle says whether the intermediate is one of this fleet, now.
func (r AuthorityRequest) Accept(intermediate []byte, roots Bundle, now time.Time) (Authority, error) {
	c, err := parseIntermediate(intermediate, r.Host, roots.Domain)
	if err != nil {
		return Authority{}, fmt.Errorf("take intermediate: %w", err)
	}
	if !r.key.PublicKey.Equal(c.PublicKey) {
		return Authority{}, fmt.Errorf("take intermediate: %w: it is not for the key of the request", ErrForm)
	}
	if err := roots.VerifyIntermediate(c, now); err != nil {
		return Authority{}, fmt.Errorf("take intermediate: %w", err)
	}
	return Authority{r.Host, roots.Domain, c, r.key}, nil
}

// Secret is the authority as its host keeps it: key and certificate in PEM.
func (a Authority) Secret() ([]byte, error) {
	key, err := encodeKey(a.key)
	if err != nil {
		return nil, err
	}
	return append(key, EncodeCertificates(a.Certificate)...), nil
}

// String never shows the key.
func (a Authority) String() string { return CAName(a.Certificate) }

// ParseAuthority reads what Secret wrote. It does not ask whether the
// certificate is still good: SignLeaf does.
func ParseAuthority(secret []byte, host string, domain Domain) (Authority, error) {
	key, rest, err := keyed(secret)
	if err != nil {
		return Authority{}, fmt.Errorf("read authority: %w", err)
	}
	c, err := parseIntermediate(rest, host, domain)
	if err != nil {
		return Authority{}, fmt.Errorf("read authority: %w", err)
	}
	if !key.PublicKey.Equal(c.PublicKey) {
		return Authority{}, fmt.Errorf("read authority: %w: key and certificate do not belong together", ErrForm)
	}
	return Authority{host, domain, c, key}, nil
}

func parseIntermediate(text []byte, host string, domain Domain) (*x509.Certificate, error) {
	all, err := ParseCertificates(text, 1)
	if err != nil {
		return nil, err
	}
	if err := checkIntermediate(all[0], domain); err != nil {
		return nil, err
	}
	if got := all[0].Subject.CommonName; got != host {
		return nil, fmt.Errorf("%w: it is of the authority on %.80q, not on %q", ErrForm, got, host)
	}
	return all[0], nil
}

// checkIntermediate says whether a certificate has the form of an intermediate.
func checkIntermediate(c *x509.Certificate, domain Domain) error {
	if err := checkCA(c, domain, 0); err != nil {
		return fmt.Errorf("intermediate: %w", err)
	}
	if !c.PermittedDNSDomainsCritical || len(c.PermittedURIDomains) != 1 || c.PermittedURIDomains[0] != string(domain) {
		return fmt.Errorf("%w: the intermediate is not held to %s", ErrForm, domain)
	}
	return nil
}
