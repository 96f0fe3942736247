package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/internal/testkit/labuser"
	"github.com/nixmesh/nixmesh/trust"
)

// seat is a place in the network of a lab host, for somebody who has root there:
// what is opened in it leaves from the host, past its own agent.
type seat struct {
	pid  int
	addr netip.Addr // the host's
}

var _ gossip.Network = seat{}

func (f *fleet) seat(host string) seat {
	h := f.host(host)
	return seat{h.PID, netip.MustParseAddr(h.Address)}
}

// sit runs something in the host's network. A socket stays where it was opened.
func sit[T any](s seat, open func() (T, error)) (T, error) { return labuser.In(s.pid, open) }

func (s seat) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	return sit(s, func() (net.PacketConn, error) { return gossip.Machine().ListenPacket(at) })
}

func (s seat) Listen(at netip.AddrPort) (net.Listener, error) {
	return sit(s, func() (net.Listener, error) { return gossip.Machine().Listen(at) })
}

func (s seat) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	return sit(s, func() (net.Conn, error) { return gossip.Machine().Dial(ctx, from, to) })
}

// identity is a host's node key, with what proves whose it is.
type identity struct {
	host string
	key  trust.NodeKey
	cert trust.NodeCert
}

// steal copies the identity that a host has now.
func (f *fleet) steal(t *testing.T, host string) identity {
	t.Helper()
	id := identity{host: host}
	dir := filepath.Join(f.host(host).Root, "var/lib/nixmesh/node")
	secret, err := os.ReadFile(filepath.Join(dir, trust.NodeKeyFile))
	if err == nil {
		id.key, err = trust.ParseNodeKey(secret)
	}
	text, e := os.ReadFile(filepath.Join(dir, trust.NodeCertFile))
	if e == nil {
		id.cert, e = trust.ParseNodeCert(text)
	}
	if err = errors.Join(err, e); err != nil {
		t.Fatal(err)
	}
	return id
}

// sign is a signature under a record or a digest, as agents make it.
func (i identity) sign(message []byte) ([]byte, error) {
	return i.key.Sign(trust.PurposeRecord, message), nil
}

// tls is the certificate that agents show, as package sync describes it.
func (i identity) tls() (tls.Certificate, error) {
	value, err := asn1.MarshalWithParams(string(i.cert.Text()), "utf8")
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(1),
		NotBefore:       time.Unix(0, 0),
		NotAfter:        time.Now().AddDate(100, 0, 0),
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 25, 1315427651}, Value: value}},
	}
	signer := i.key.TLS()
	raw, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: signer}, err
}

// hangsUp waits for the other end to close a connection on which nothing is said.
// It is an error where that takes longer than d.
func hangsUp(c net.Conn, d time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, c)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("it is open after %s", d)
	}
	return nil // it ended, well or badly
}
