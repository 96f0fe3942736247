package sync

import (
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// oidNodeCert names the extension with the text of a node.cert, of this program
// only: an arc below 2.25, which needs no registration.
var oidNodeCert = asn1.ObjectIdentifier{2, 25, 1315427651}

var errNoProof = errors.New("the certificate proves no node key")

// noEnd is the "no well-defined expiration date" of RFC 5280, 4.1.2.5. Which
// certificate counts is decided by the node.cert in it.
var noEnd = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)

// makeCertificate signs a TLS certificate of a node key with the key itself.
func makeCertificate(key crypto.Signer, node trust.NodeCert) (*tls.Certificate, error) {
	value, err := asn1.MarshalWithParams(string(node.Text()), "utf8")
	if err != nil {
		return nil, fmt.Errorf("make certificate of the node key: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		NotBefore:       time.Unix(0, 0),
		NotAfter:        noEnd,
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		ExtraExtensions: []pkix.Extension{{Id: oidNodeCert, Value: value}},
	}
	raw, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of the node key: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, nil
}

// provenNode is the node certificate in a peer's TLS certificate, if it is of
// the key with which the peer has just signed the handshake. Nothing else in the
// certificate is read.
func provenNode(certificates []*x509.Certificate) (trust.NodeCert, error) {
	if len(certificates) != 1 {
		return trust.NodeCert{}, fmt.Errorf("%w: %d certificates", errNoProof, len(certificates))
	}
	key, ok := certificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return trust.NodeCert{}, fmt.Errorf("%w: its key is no ed25519 key", errNoProof)
	}
	for _, e := range certificates[0].Extensions {
		if !e.Id.Equal(oidNodeCert) {
			continue
		}
		var text string
		if rest, err := asn1.UnmarshalWithParams(e.Value, &text, "utf8"); err != nil || len(rest) > 0 {
			return trust.NodeCert{}, fmt.Errorf("%w: the extension is malformed", errNoProof)
		}
		node, err := trust.ParseNodeCert([]byte(text))
		if err != nil {
			return trust.NodeCert{}, fmt.Errorf("%w: %w", errNoProof, err)
		}
		if node.Key != trust.NodePublic(key) {
			return trust.NodeCert{}, fmt.Errorf("%w: the node.cert in it is of another key", errNoProof)
		}
		return node, nil
	}
	return trust.NodeCert{}, fmt.Errorf("%w: there is no node.cert in it", errNoProof)
}

// ownCertificate is this host's, made again when its node.cert is another one.
type ownCertificate struct {
	key crypto.Signer
	own func() trust.NodeCert

	mu   sync.Mutex // guards what follows
	of   trust.NodeCert
	made *tls.Certificate
}

func (o *ownCertificate) get() (*tls.Certificate, error) {
	node := o.own()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.made != nil && o.of == node {
		return o.made, nil
	}
	made, err := makeCertificate(o.key, node)
	if err != nil {
		return nil, err
	}
	o.of, o.made = node, made
	return made, nil
}
