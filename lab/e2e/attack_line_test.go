package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	varint "encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/sync"
)

// line is a connection to an agent, on which anything can be said: what package
// sync would never send, too.
type line struct {
	conn net.Conn
	http *http.ClientConn
	id   identity
}

// lineTimeout bounds what is done on a line, on a machine with other work.
const lineTimeout = time.Minute

// call opens a line from a seat to another host's agent, up to the handshake.
// Whether the agent takes it shows with the first request.
func (s seat) call(from netip.Addr, to seat, id identity) (*line, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lineTimeout)
	defer cancel()
	raw, err := s.Dial(ctx, from, netip.AddrPortFrom(to.addr, sync.DefaultPort))
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	cert, err := id.tls()
	if err != nil {
		return nil, err
	}
	// It does not care who answers.
	secured := tls.Client(raw, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, InsecureSkipVerify: true, Certificates: []tls.Certificate{cert},
	})
	if err := secured.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, fmt.Errorf("shake hands: %w", err)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:   &protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return secured, nil },
	}
	client, err := transport.NewClientConn(ctx, "http", "agent:80")
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("speak: %w", err)
	}
	return &line{secured, client, id}, nil
}

// line is one that the agent has taken, after hello.
func (s seat) line(t *testing.T, to seat, id identity) *line {
	t.Helper()
	l, err := s.call(s.addr, to, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.conn.Close() })
	l.want(t, http.StatusOK, "/hello", hello(1, 1))
	return l
}

// hello is the first request of a connection.
func hello(lowest, highest uint64) []byte {
	b := varint.AppendUvarint(varint.AppendUvarint(nil, lowest), highest)
	return varint.BigEndian.AppendUint64(b, 4711)
}

// post sends one request.
func (l *line) post(path string, body io.Reader) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lineTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent"+path, body)
	if err != nil {
		return 0, nil, err
	}
	resp, err := l.http.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return resp.StatusCode, answer, err
}

// want sends a request that has to be answered with a status.
func (l *line) want(t *testing.T, status int, path string, body []byte) []byte {
	t.Helper()
	got, answer, err := l.post(path, bytes.NewReader(body))
	if err != nil || got != status {
		t.Fatalf("%s is answered with %d %.200q, %v; want %d", path, got, answer, err, status)
	}
	return answer
}

// trade tells an agent a delta, and gives how much of it was taken and what the
// agent knows.
func (l *line) trade(t *testing.T, d *catalog.Delta) (taken uint64, theirs *catalog.Delta) {
	t.Helper()
	digest, err := (&catalog.Digest{Host: l.id.host, At: time.Now()}).Encode(l.id.sign)
	if err != nil {
		t.Fatal(err)
	}
	b := l.want(t, http.StatusOK, "/trade", trade(digest, d.Encode()))
	taken, n := varint.Uvarint(b)
	size, m := varint.Uvarint(b[max(n, 0):])
	if n <= 0 || m <= 0 || size > uint64(len(b)-n-m) {
		t.Fatalf("a trade of %d bytes cannot be read", len(b))
	}
	theirs, err = catalog.DecodeDelta(b[n+m+int(size):])
	if err != nil {
		t.Fatal(err)
	}
	return taken, theirs
}

// trade is a digest with a delta.
func trade(digest, delta []byte) []byte {
	b := varint.AppendUvarint(varint.AppendUvarint(nil, 0), uint64(len(digest)))
	return append(append(b, digest...), delta...)
}

// of is the part of a delta that is of one host.
func of(host string, d *catalog.Delta) *catalog.Delta {
	out := &catalog.Delta{}
	for _, p := range d.Parts {
		if p.Owner == host {
			out.Parts = append(out.Parts, p)
		}
	}
	return out
}
