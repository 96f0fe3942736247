package sync

import (
	"context"
	"net"
	"net/netip"
)

// Network is where connections go: the machine's, or a test's.
type Network interface {
	// Listen takes connections at an address.
	Listen(at netip.AddrPort) (net.Listener, error)
	// Dial opens a connection from an address of this host, so that the other
	// end sees the one that its table has.
	Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// machine is the network of this machine.
type machine struct{}

var _ Network = machine{}

func (machine) Listen(at netip.AddrPort) (net.Listener, error) {
	return net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
}

func (machine) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	return d.DialContext(ctx, "tcp", to.String())
}
