package gossip

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Network is where packets and connections go: the machine's, or a test's.
type Network interface {
	// ListenPacket takes packets at an address.
	ListenPacket(at netip.AddrPort) (net.PacketConn, error)
	// Listen takes connections at an address.
	Listen(at netip.AddrPort) (net.Listener, error)
	// Dial opens a connection from an address of this host, so that the other
	// end sees the one that its table has.
	Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// readBuffer is what is asked of the kernel for packets that wait to be read:
// a burst of 1,500 full ones. The kernel may give less.
const readBuffer = 2 << 20

// Machine is the network of this machine.
func Machine() Network { return machine{} }

// machine is the network of this machine.
type machine struct{}

var _ Network = machine{}

func (machine) ListenPacket(at netip.AddrPort) (net.PacketConn, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	if err := c.SetReadBuffer(readBuffer); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (machine) Listen(at netip.AddrPort) (net.Listener, error) {
	return net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
}

func (machine) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	return d.DialContext(ctx, "tcp", to.String())
}

// listenBoth takes packets and connections at one address. With port 0 it
// tries until a port is free for both.
func listenBoth(network Network, at netip.AddrPort) (net.PacketConn, net.Listener, error) {
	tries := 1
	if at.Port() == 0 {
		tries = 10
	}
	var failed error
	for range tries {
		streams, err := network.Listen(at)
		if err != nil {
			return nil, nil, err
		}
		chosen, err := netip.ParseAddrPort(streams.Addr().String())
		if err != nil {
			return nil, nil, errors.Join(err, streams.Close())
		}
		packets, err := network.ListenPacket(chosen)
		if err == nil {
			return packets, streams, nil
		}
		failed = errors.Join(err, streams.Close())
	}
	return nil, nil, failed
}
