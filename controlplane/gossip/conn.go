package gossip

import (
	"errors"
	"net"
	"sync"
	"time"
)

var (
	errTooMany = errors.New("too many connections")
	errTooLong = errors.New("peer sent more than any list of members")
)

// conns are the connections that are open, so that Shutdown can end them and
// with them whatever memberlist waits for on them.
type conns struct {
	mu      sync.Mutex // guards what follows
	open    map[*conn]struct{}
	inbound int
	closed  bool
}

// add takes a connection in and bounds it. When it refuses, c is closed.
func (s *conns) add(c net.Conn, t *transport, outbound bool) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	if !outbound && s.inbound >= maxStreams {
		c.Close()
		return nil, errTooMany
	}
	if err := c.SetDeadline(time.Now().Add(streamTimeout)); err != nil {
		c.Close()
		return nil, err
	}
	tracked := &conn{Conn: c, all: s, transport: t, outbound: outbound, left: maxStreamRead}
	s.open[tracked] = struct{}{}
	if !outbound {
		s.inbound++
	}
	return tracked, nil
}

func (s *conns) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[c]; !ok {
		return
	}
	delete(s.open, c)
	if !c.outbound {
		s.inbound--
	}
}

func (s *conns) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for c := range s.open {
		c.Conn.Close()
	}
}

// conn is one connection, with a bound on what is read from it.
type conn struct {
	net.Conn
	all       *conns
	transport *transport
	outbound  bool
	left      int // bytes that may still be read; memberlist reads in one goroutine
}

func (c *conn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooLong
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	c.transport.receivedBytes.Add(uint64(n))
	return n, err
}

// Write closes the connection when it fails: memberlist forgets to, when it is
// the label in front that cannot be written (transport.go, labelWrappedTransport).
func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.transport.sentBytes.Add(uint64(n))
	if err != nil {
		err = errors.Join(err, c.Close())
	}
	return n, err
}

func (c *conn) Close() error {
	c.all.remove(c)
	return c.Conn.Close()
}
