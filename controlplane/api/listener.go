package api

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// listener takes at most as many connections as it has slots. One more is told
// so and closed: a client that waits without a word would look like an agent
// that hangs.
type listener struct {
	net.Listener
	slots  chan struct{}
	counts *counts

	away    chan struct{} // one slot for each that is told
	telling sync.WaitGroup
}

func newListener(l net.Listener, most int, c *counts) *listener {
	return &listener{Listener: l, slots: make(chan struct{}, most), counts: c, away: make(chan struct{}, 8)}
}

// Accept waits for a connection that has a slot and credentials.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
		default:
			l.counts.turnedAway()
			l.turnAway(c)
			continue
		}
		who, err := callerOf(c)
		if err != nil { // the client is gone already
			<-l.slots
			_ = c.Close()
			continue
		}
		l.counts.connected(1)
		return &conn{Conn: c, who: who, leave: sync.OnceFunc(func() {
			<-l.slots
			l.counts.connected(-1)
		})}, nil
	}
}

// turnAway answers a connection that is one too many. It waits for the request,
// shortly: a client whose request cannot be written does not read the answer.
// Those that come in crowds are only closed.
func (l *listener) turnAway(c net.Conn) {
	select {
	case l.away <- struct{}{}:
	default:
		_ = c.Close()
		return
	}
	l.telling.Go(func() {
		defer func() { <-l.away }()
		defer c.Close()
		const body = `{"error":"the agent has too many connections","next":"try again in a minute"}`
		_ = c.SetDeadline(time.Now().Add(time.Second))
		if n, _ := c.Read(make([]byte, maxHeader)); n > 0 {
			_, _ = c.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + body))
		}
	})
}

// conn gives its slot back when it closes.
type conn struct {
	net.Conn
	who   caller
	leave func()
}

// Close closes the connection.
func (c *conn) Close() error {
	c.leave()
	return c.Conn.Close()
}

type callerKey struct{}

// withCaller puts the caller into the context of its requests.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	if own, ok := c.(*conn); ok {
		return context.WithValue(ctx, callerKey{}, own.who)
	}
	return ctx
}

// callerFrom is who sent a request; the zero caller may write nothing.
func callerFrom(r *http.Request) caller {
	who, _ := r.Context().Value(callerKey{}).(caller)
	return who
}
