package memnet

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// window bounds what is under way in one direction of a stream.
const window = 1 << 20

// conn is one end of a stream.
type conn struct {
	net           *Net
	local, remote netip.AddrPort
	in, out       *half
}

// stream makes both ends of a connection. It wants n.mu held.
func (n *Net) stream(from, to netip.AddrPort) (ours, theirs *conn) {
	there, back := newHalf(n.delay), newHalf(n.delay)
	return &conn{net: n, local: from, remote: to, in: back, out: there},
		&conn{net: n, local: to, remote: from, in: there, out: back}
}

func (c *conn) Read(b []byte) (int, error) { return c.in.read(b) }

func (c *conn) Write(b []byte) (int, error) {
	c.net.mu.Lock()
	cut := !c.net.reaches(c.local.Addr(), c.remote.Addr())
	c.net.sent.StreamBytes += uint64(len(b))
	c.net.mu.Unlock()
	return c.out.write(b, cut)
}

// Close tells the other end, if it can be reached.
func (c *conn) Close() error {
	c.net.mu.Lock()
	cut := !c.net.reaches(c.local.Addr(), c.remote.Addr())
	c.net.mu.Unlock()
	c.in.shut(net.ErrClosed, false)
	c.out.shut(io.EOF, cut)
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}
func (c *conn) SetReadDeadline(t time.Time) error  { return c.in.setDeadline(&c.in.readBy, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.setDeadline(&c.out.writeBy, t) }

// half is one direction: chunks under way, oldest first.
type half struct {
	delay time.Duration

	mu              sync.Mutex // guards what follows
	chunks          []chunk
	size            int
	dead            bool  // a partition touched it: nothing arrives any more
	readErr         error // after the last chunk, or at once when it is net.ErrClosed
	writeErr        error
	readBy, writeBy time.Time
	changed         chan struct{} // closed, and made anew, on every change
}

type chunk struct {
	data []byte
	at   time.Time // when it arrives
}

func newHalf(delay time.Duration) *half {
	return &half{delay: delay, changed: make(chan struct{})}
}

// tell wants mu held.
func (h *half) tell() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait returns, without mu, on a change or at a time (zero: never). It wants mu
// held and takes it again.
func (h *half) wait(until time.Time) {
	changed := h.changed
	h.mu.Unlock()
	defer h.mu.Lock()
	if until.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		now := time.Now()
		switch {
		case errors.Is(h.readErr, net.ErrClosed):
			return 0, net.ErrClosed
		case !h.readBy.IsZero() && !now.Before(h.readBy):
			return 0, os.ErrDeadlineExceeded
		case len(h.chunks) > 0 && !now.Before(h.chunks[0].at):
			n := copy(b, h.chunks[0].data)
			h.chunks[0].data = h.chunks[0].data[n:]
			h.size -= n
			if len(h.chunks[0].data) == 0 {
				h.chunks = h.chunks[1:]
			}
			h.tell()
			return n, nil
		case len(h.chunks) == 0 && h.readErr != nil:
			return 0, h.readErr
		}
		until := h.readBy
		if len(h.chunks) > 0 && (until.IsZero() || h.chunks[0].at.Before(until)) {
			until = h.chunks[0].at
		}
		h.wait(until)
	}
}

func (h *half) write(b []byte, cut bool) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead = h.dead || cut
	for {
		switch {
		case h.writeErr != nil:
			return 0, h.writeErr
		case !h.writeBy.IsZero() && !time.Now().Before(h.writeBy):
			return 0, os.ErrDeadlineExceeded
		case h.size < window:
			h.size += len(b)
			if !h.dead {
				h.chunks = append(h.chunks, chunk{data: bytes.Clone(b), at: time.Now().Add(h.delay)})
			}
			h.tell()
			return len(b), nil
		}
		h.wait(h.writeBy)
	}
}

// shut ends the direction for both ends; what is under way still arrives when
// the writer (io.EOF) shut it, unless the writer is cut off.
func (h *half) shut(readErr error, cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead = h.dead || cut
	if errors.Is(readErr, net.ErrClosed) || (h.readErr == nil && !h.dead) {
		h.readErr = readErr
	}
	h.writeErr = net.ErrClosed
	h.tell()
}

func (h *half) setDeadline(which *time.Time, t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	*which = t
	h.tell()
	return nil
}
