package sync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// shakeTimeout bounds how long a connection takes to prove who it is, and
	// dialTimeout how long one takes from the first packet to the end of hello.
	shakeTimeout = 5 * time.Second
	dialTimeout  = 8 * time.Second

	// maxOpening bounds connections that have proved nothing yet, of one host, and
	// maxOpeningAll of all. A host opens one to stay and some that are short.
	maxOpening    = 8
	maxOpeningAll = 256

	// maxInbound bounds connections that one host has opened. One more closes the
	// oldest: what a crash has left behind keeps nobody out.
	maxInbound = 6
)

var (
	errTooMany = errors.New("too many connections")
	errForeign = errors.New("no host of the mesh configuration has this address")
	errGone    = errors.New("it is no host of the mesh configuration any more")
)

// accept takes connections, and hands on those that have proved who they are.
func (s *Sync) accept(ctx context.Context, from net.Listener, to *handoff) {
	for {
		raw, err := from.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if err == nil {
				raw.Close()
			}
			return
		}
		if err != nil { // no descriptor is free, as a rule
			s.opts.Logger.Warn("exchange takes no connection", "err", err)
			pause(ctx, 100*time.Millisecond)
			continue
		}
		s.prove(ctx, raw, to)
	}
}

// prove lets a connection prove who it is, if it comes from where a host is.
func (s *Sync) prove(ctx context.Context, raw net.Conn, to *handoff) {
	addr := addrPort(raw.RemoteAddr()).Addr()
	s.mu.Lock()
	reason, err := s.turn(addr)
	if err == nil {
		s.opening[addr]++
		s.start(func() {
			if c := s.receive(ctx, raw); c != nil {
				to.give(c)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.opening[addr]--; s.opening[addr] == 0 {
				delete(s.opening, addr)
			}
		})
	}
	s.mu.Unlock()
	if err != nil {
		raw.Close()
		s.refusals.Add(reason, addr.String(), err)
	}
}

// turn says why an address may not open a connection now. It wants s.mu held.
func (s *Sync) turn(addr netip.Addr) (Reason, error) {
	hosts, all := s.places[addr], 0
	for _, n := range s.opening {
		all += n
	}
	switch {
	case s.phase != running:
		return TooMany, ErrState
	case hosts == 0:
		return ForeignAddress, errForeign
	case s.opening[addr] >= maxOpening*hosts || all >= maxOpeningAll:
		return TooMany, errTooMany
	}
	return "", nil
}

// receive makes a proven connection of one that came in, or closes it.
func (s *Sync) receive(ctx context.Context, raw net.Conn) *conn {
	ctx, cancel := context.WithTimeout(ctx, shakeTimeout)
	defer cancel()
	secured, node, err := s.opts.Wire.Server(ctx, s.count(raw))
	if err != nil {
		s.refusals.Add(BadHandshake, addrPort(raw.RemoteAddr()).Addr().String(), err)
		raw.Close()
		return nil
	}
	if err := s.admit(node, raw.RemoteAddr()); err != nil {
		raw.Close()
		return nil
	}
	c := &conn{Conn: secured, raw: raw, inbound: true, host: node.Host, node: node, ended: s.forget}
	if err := s.register(c); err != nil {
		raw.Close()
		return nil
	}
	return c
}

func (s *Sync) count(raw net.Conn) net.Conn {
	return counted{Conn: raw, sent: &s.counters.sentBytes, received: &s.counters.receivedBytes}
}

// register takes a connection in. Those of an older node key of its host are
// closed, and the oldest where there are too many.
func (s *Sync) register(c *conn) error {
	s.mu.Lock()
	p := s.peers[c.host]
	if p == nil || s.phase != running {
		s.mu.Unlock()
		return errGone
	}
	var cut []*conn
	var oldest *conn
	inbound := 0
	for o := range p.conns {
		switch {
		case o.node.Key == c.node.Key:
		case o.node.Newer(c.node):
			s.mu.Unlock()
			return fmt.Errorf("%s has shown a newer node key", c.host)
		default:
			cut = append(cut, o)
		}
		if o.inbound {
			inbound++
			if oldest == nil || o.number < oldest.number {
				oldest = o
			}
		}
	}
	if c.inbound && inbound >= maxInbound {
		cut = append(cut, oldest)
	}
	s.last++
	c.number = s.last
	if p.conns == nil {
		p.conns = map[*conn]struct{}{}
	}
	p.conns[c] = struct{}{}
	s.mu.Unlock()
	cutAll(cut)
	return nil
}

// forget lets go of a connection that is closed.
func (s *Sync) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.peers[c.host]; p != nil {
		delete(p.conns, c)
	}
}

// handoff is the listener of the HTTP server: it gives out proven connections.
type handoff struct {
	life context.Context
	addr net.Addr
	in   chan *conn
}

var _ net.Listener = (*handoff)(nil)

func newHandoff(life context.Context, addr net.Addr) *handoff {
	return &handoff{life: life, addr: addr, in: make(chan *conn)}
}

func (h *handoff) give(c *conn) {
	select {
	case h.in <- c:
	case <-h.life.Done():
		c.cut()
	}
}

func (h *handoff) Accept() (net.Conn, error) {
	select {
	case c := <-h.in:
		return c, nil
	case <-h.life.Done():
		return nil, net.ErrClosed
	}
}

func (h *handoff) Addr() net.Addr { return h.addr }

// Close does nothing: the listener ends with Sync's life.
func (h *handoff) Close() error { return nil }

// pause waits, and says whether it came to an end by itself.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
