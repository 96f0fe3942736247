package sync

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// How HTTP/2 is used: small windows and tables, since a fleet's worth of
// connections is kept, and a ping where nothing else shows that a peer lives.
const (
	frameSize     = 16 << 10
	streamWindow  = 256 << 10
	connWindow    = 1 << 20
	headerTable   = 512
	pingAfter     = 10 * time.Second
	pingAfterIn   = 3 * pingAfter // the side that listens leaves it to the other one
	pingTimeout   = 5 * time.Second
	maxStreams    = 16
	maxHeader     = 4 << 10
	idleTimeout   = time.Minute
	answerTimeout = 20 * time.Second // of one request, unless it is a call
)

func http2Only() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true) // the wire has secured the connection before
	return &p
}

// linkKey is under what a context has the connection for the transport.
type linkKey struct{}

func newTransport() *http.Transport {
	return &http.Transport{
		Protocols:          http2Only(),
		DisableCompression: true,
		HTTP2: &http.HTTP2Config{
			MaxReadFrameSize: frameSize, MaxReceiveBufferPerStream: streamWindow, MaxReceiveBufferPerConnection: connWindow,
			MaxDecoderHeaderTableSize: headerTable, MaxEncoderHeaderTableSize: headerTable,
			SendPingTimeout: pingAfter, PingTimeout: pingTimeout, WriteByteTimeout: pingAfter + pingTimeout,
		},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return ctx.Value(linkKey{}).(*conn), nil
		},
	}
}

// link is a connection that this host opened, after hello.
type link struct {
	*conn
	http     *http.ClientConn
	theirs   hello
	common   uint64        // the protocol in use
	out      *outbox       // what is to be pushed; nil where nothing is
	streamed chan struct{} // closed when the peer has ended the stream of what is pushed
}

// errNoCommon is a peer with another range of protocols.
type errNoCommon struct{ ours, theirs catalog.Protocols }

func (e *errNoCommon) Error() string {
	return fmt.Sprintf("no protocol in common: it speaks %d to %d, this host %d to %d", e.theirs.Min, e.theirs.Max, e.ours.Min, e.ours.Max)
}

// dial opens a connection to a peer and proves that it is the peer.
func (s *Sync) dial(ctx context.Context, p *peer) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	raw, err := s.opts.Network.Dial(ctx, s.opts.Listen.Addr(), p.addr)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", p.host, err)
	}
	c, err := s.prover(ctx, raw, p)
	if err != nil {
		raw.Close()
		return nil, err
	}
	l, err := s.greet(ctx, c, p)
	if err != nil {
		c.cut()
		return nil, err
	}
	return l, nil
}

// prover has the peer prove who it is.
func (s *Sync) prover(ctx context.Context, raw net.Conn, p *peer) (*conn, error) {
	secured, node, err := s.opts.Wire.Client(ctx, s.count(raw))
	if err != nil {
		s.refusals.Add(BadHandshake, p.host, err)
		return nil, fmt.Errorf("secure the connection to %s: %w", p.host, err)
	}
	if node.Host != p.host {
		err := fmt.Errorf("at the address of %s, %s, is %q", p.host, p.addr, node.Host)
		s.refusals.Add(WrongHost, p.host, err)
		return nil, err
	}
	if err := s.admit(node, raw.RemoteAddr()); err != nil {
		return nil, err
	}
	c := &conn{Conn: secured, raw: raw, host: p.host, node: node, ended: s.forget}
	return c, s.register(c)
}

// greet says hello.
func (s *Sync) greet(ctx context.Context, c *conn, p *peer) (*link, error) {
	client, err := s.transport.NewClientConn(context.WithValue(ctx, linkKey{}, c), "http", "agent:80")
	if err != nil {
		return nil, fmt.Errorf("speak with %s: %w", p.host, err)
	}
	l := &link{conn: c, http: client, streamed: make(chan struct{})}
	status, b, err := l.post(ctx, pathHello, hello{s.opts.Protocols, s.instance}.encode(), maxHello)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("it answers %d %.200q", status, b)
	}
	if err == nil {
		l.theirs, err = readHello(b)
	}
	if err != nil {
		return nil, fmt.Errorf("say hello to %s: %w", p.host, err)
	}
	s.heard(p.host, l.theirs)
	common, ok := s.opts.Protocols.Common(l.theirs.protocols)
	if !ok {
		err := &errNoCommon{s.opts.Protocols, l.theirs.protocols}
		s.refusals.Add(WrongProtocol, p.host, err)
		return nil, err
	}
	l.common = common
	return l, nil
}

// post sends one request and reads its answer, of at most limit bytes. It gives
// up with ctx.
func (l *link) post(ctx context.Context, path string, body []byte, limit int) (status int, answer []byte, err error) {
	resp, err := l.request(ctx, path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		limit = min(limit, maxText)
	}
	answer, err = readBody(resp.Body, limit)
	return resp.StatusCode, answer, err
}

func (l *link) request(ctx context.Context, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent"+path, body)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header["User-Agent"] = nil
	resp, err := l.http.RoundTrip(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		return nil, fmt.Errorf("send request: %w", err)
	}
	return resp, nil
}
