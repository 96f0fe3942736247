package sync

import (
	"net"
	"sync"
	"sync/atomic"

	"github.com/nixmesh/nixmesh/trust"
)

// conn is a connection whose other end is proven.
type conn struct {
	net.Conn // secured
	raw      net.Conn
	inbound  bool
	host     string
	node     trust.NodeCert
	number   uint64 // they rise with time

	// ended is called once, when the connection is closed from this side.
	ended  func(*conn)
	once   sync.Once
	closed atomic.Bool

	// common is the protocol in use, for one that came in: 0 until the other end
	// has said hello.
	common atomic.Uint64
}

// Close ends the connection at once, without the farewell of TLS, for which a
// dead peer would be waited for. HTTP/2 knows by itself where a message ends.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.closed.Store(true)
		c.ended(c)
	})
	return c.raw.Close()
}

// cut is Close where nobody wants to know how it went: the connection is gone.
func (c *conn) cut() { _ = c.Close() }

func cutAll(open []*conn) {
	for _, c := range open {
		c.cut()
	}
}

// counted is a connection as it is on the wire.
type counted struct {
	net.Conn
	sent, received *atomic.Uint64
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.received.Add(uint64(n))
	return n, err
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.Add(uint64(n))
	return n, err
}
