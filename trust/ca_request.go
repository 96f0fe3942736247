package trust

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
)

// maxRequest bounds a certificate request, in bytes of DER; a real one has 300.
const maxRequest = 4 << 10

// AuthorityRequest is a key that was born on an authority's host, and the
// request for an intermediate that leaves the host in its place.
type AuthorityRequest struct {
	Host string
	key  *ecdsa.PrivateKey
	pem  []byte
}

// NewAuthorityRequest makes a key and a request for the authority on a host.
func NewAuthorityRequest(host string) (AuthorityRequest, error) {
	key, err := newCertKey()
	if err != nil {
		return AuthorityRequest{}, err
	}
	return requestOf(host, key)
}

func requestOf(host string, key *ecdsa.PrivateKey) (AuthorityRequest, error) {
	if !nameForm.MatchString(host) {
		return AuthorityRequest{}, fmt.Errorf("request intermediate: %q is not the name of a host", host)
	}
	raw, err := newRequest(host, key)
	if err != nil {
		return AuthorityRequest{}, err
	}
	return AuthorityRequest{host, key, pem.EncodeToMemory(&pem.Block{Type: pemRequest, Bytes: raw})}, nil
}

// PEM is the request, which is no secret.
func (r AuthorityRequest) PEM() []byte { return r.pem }

// Secret is the request as the host keeps it until it is answered: the key.
func (r AuthorityRequest) Secret() ([]byte, error) { return encodeKey(r.key) }

// String never shows the key.
func (r AuthorityRequest) String() string { return "request of the authority on " + r.Host }

// ParseAuthorityRequest reads what Secret wrote.
func ParseAuthorityRequest(secret []byte, host string) (AuthorityRequest, error) {
	key, rest, err := keyed(secret)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: something follows the key", ErrForm)
	}
	if err != nil {
		return AuthorityRequest{}, fmt.Errorf("read authority's request: %w", err)
	}
	return requestOf(host, key)
}

// newRequest is a PKCS#10 request: a public key, proof that one has the private
// one, and a name that only people read.
func newRequest(name string, key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, SignatureAlgorithm: x509.ECDSAWithSHA256}
	raw, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return raw, nil
}

// parseRequest reads a request in DER: who asks, as it says, and for which key.
// Whatever else it asks for is not read: the signer decides.
func parseRequest(raw []byte) (name string, key *ecdsa.PublicKey, err error) {
	if len(raw) > maxRequest {
		return "", nil, fmt.Errorf("%w: a request of %d bytes, at most %d are taken", ErrForm, len(raw), maxRequest)
	}
	r, err := x509.ParseCertificateRequest(raw)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if key, err = p256(r.PublicKey); err != nil {
		return "", nil, err
	}
	if r.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return "", nil, fmt.Errorf("%w: the request is signed with %s", ErrForm, r.SignatureAlgorithm)
	}
	if err := r.CheckSignature(); err != nil {
		return "", nil, fmt.Errorf("%w: the request is not signed by its own key", ErrForm)
	}
	return r.Subject.CommonName, key, nil
}
