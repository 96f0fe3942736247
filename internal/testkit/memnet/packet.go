package memnet

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"time"
)

type packet struct {
	data []byte
	from netip.AddrPort
}

// packetConn is a UDP socket. What does not fit into its queue is lost.
type packetConn struct {
	net    *Net
	at     netip.AddrPort
	in     chan packet
	closed chan struct{}
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case p := <-c.in:
		return copy(b, p.data), net.UDPAddrFromAddrPort(p.from), nil
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *packetConn) WriteTo(b []byte, to net.Addr) (int, error) {
	dest, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, &net.OpError{Op: "write", Net: "udp", Err: err}
	}
	n := c.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.packets[c.at] != c {
		return 0, net.ErrClosed
	}
	n.sent.Packets++
	n.sent.PacketBytes += uint64(len(b))
	if n.lost() || !n.reaches(c.at.Addr(), dest.Addr()) {
		return len(b), nil
	}
	p := packet{data: bytes.Clone(b), from: c.at}
	time.AfterFunc(n.jittered(), func() { n.arrive(p, dest) })
	return len(b), nil
}

func (n *Net) arrive(p packet, to netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.packets[to]
	if c == nil || !n.reaches(p.from.Addr(), to.Addr()) {
		return
	}
	select {
	case c.in <- p:
	default:
	}
}

func (c *packetConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.net.packets[c.at] != c {
		return net.ErrClosed
	}
	delete(c.net.packets, c.at)
	close(c.closed)
	return nil
}

func (c *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.at) }

func (c *packetConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (c *packetConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (c *packetConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
