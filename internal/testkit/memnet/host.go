package memnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// synRetry is how long Linux waits before it sends the first packet of a
// connection again.
const synRetry = time.Second

// Host is one address on the wire.
type Host struct {
	net  *Net
	addr netip.Addr
}

// Host returns the host with an address. Hosts need no making.
func (n *Net) Host(addr netip.Addr) *Host { return &Host{net: n, addr: addr} }

// port wants n.mu held.
func (h *Host) port(at netip.AddrPort) (netip.AddrPort, error) {
	if at.Addr() != h.addr {
		return at, &net.OpError{Op: "listen", Net: "mem", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}
	}
	if at.Port() == 0 {
		h.net.nextPort++
		at = netip.AddrPortFrom(h.addr, h.net.nextPort)
	}
	return at, nil
}

// ListenPacket takes packets sent to an address of this host.
func (h *Host) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at, err := h.port(at)
	if err != nil {
		return nil, err
	}
	if h.net.packets[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	c := &packetConn{net: h.net, at: at, in: make(chan packet, 1024), closed: make(chan struct{})}
	h.net.packets[at] = c
	return c, nil
}

// Listen takes connections to an address of this host.
func (h *Host) Listen(at netip.AddrPort) (net.Listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	at, err := h.port(at)
	if err != nil {
		return nil, err
	}
	if h.net.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &listener{net: h.net, at: at, in: make(chan net.Conn, 128), closed: make(chan struct{})}
	h.net.listeners[at] = l
	return l, nil
}

// Dial opens a connection from this host; from is this host's address.
func (h *Host) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	opError := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	for {
		n := h.net
		n.mu.Lock()
		there, arrives := n.listeners[to], n.reaches(h.addr, to.Addr()) && !n.lost() && !n.lost()
		wait := n.jittered() + n.jittered()
		if arrives && there == nil {
			n.mu.Unlock()
			return nil, opError(syscall.ECONNREFUSED)
		}
		if arrives {
			n.nextPort++
			ours, theirs := n.stream(netip.AddrPortFrom(h.addr, n.nextPort), to)
			n.sent.Streams++
			n.mu.Unlock()
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return nil, opError(ctx.Err())
			}
			select {
			case there.in <- theirs:
				return ours, nil
			case <-there.closed:
				return nil, opError(syscall.ECONNREFUSED)
			case <-ctx.Done():
				return nil, opError(ctx.Err())
			}
		}
		n.mu.Unlock()
		select {
		case <-time.After(synRetry):
		case <-ctx.Done():
			return nil, opError(fmt.Errorf("%w: %w", errNoRoute, os.ErrDeadlineExceeded))
		}
	}
}

type listener struct {
	net    *Net
	at     netip.AddrPort
	in     chan net.Conn
	closed chan struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

func (l *listener) Close() error {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.net.listeners[l.at] != l {
		return net.ErrClosed
	}
	delete(l.net.listeners, l.at)
	close(l.closed)
	return nil
}
