package sync

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/nixmesh/nixmesh/trust"
)

// Wire secures a connection that was just opened and proves who is at its other
// end: the node certificate that comes back is of the key that the other end has
// shown it holds. Whether the certificate counts, and whether that host may be
// spoken with, is not for the wire to say. After an error the caller closes the
// connection.
type Wire interface {
	// Client secures a connection that this host opened.
	Client(ctx context.Context, c net.Conn) (net.Conn, trust.NodeCert, error)
	// Server secures a connection that came in.
	Server(ctx context.Context, c net.Conn) (net.Conn, trust.NodeCert, error)
}

// tlsWire is TLS 1.3 with certificates of node keys.
type tlsWire struct{ config *tls.Config }

var _ Wire = tlsWire{}

func newTLSWire(key trust.NodeKey, own func() trust.NodeCert) tlsWire {
	cert := &ownCertificate{key: key.TLS(), own: own}
	return tlsWire{&tls.Config{
		MinVersion:           tls.VersionTLS13,
		NextProtos:           []string{"h2"},
		GetCertificate:       func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert.get() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert.get() },
		ClientAuth:           tls.RequireAnyClientCert,
		// Chains, names and times of certificates mean nothing here. The handshake
		// proves that the peer holds the certificate's key; provenNode reads whose
		// it says it is, and Nodes.Admit asks the pinned host key.
		InsecureSkipVerify:     true,
		SessionTicketsDisabled: true, // each connection proves anew
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := provenNode(state.PeerCertificates)
			return err
		},
	}}
}

func (w tlsWire) Client(ctx context.Context, c net.Conn) (net.Conn, trust.NodeCert, error) {
	return shake(ctx, tls.Client(c, w.config))
}

func (w tlsWire) Server(ctx context.Context, c net.Conn) (net.Conn, trust.NodeCert, error) {
	return shake(ctx, tls.Server(c, w.config))
}

func shake(ctx context.Context, c *tls.Conn) (net.Conn, trust.NodeCert, error) {
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, trust.NodeCert{}, fmt.Errorf("shake hands: %w", err)
	}
	node, err := provenNode(c.ConnectionState().PeerCertificates)
	return c, node, err
}
