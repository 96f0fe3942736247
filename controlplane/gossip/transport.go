package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/nixmesh/nixmesh/internal/refusal"
)

// transport carries memberlist's packets and streams over a Network. Only hosts
// of the table are heard, and only they are spoken to.
type transport struct {
	network  Network
	table    *table
	refusals *refusal.Counter[Reason]
	log      *slog.Logger

	udp     net.PacketConn
	tcp     net.Listener
	packets chan *memberlist.Packet
	streams chan net.Conn

	ctx   context.Context // of the transport's life
	stop  context.CancelFunc
	loops sync.WaitGroup
	conns conns

	sentPackets, sentBytes         atomic.Uint64
	receivedPackets, receivedBytes atomic.Uint64
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

// newTransport listens at an address; bind may differ from the table's address
// of this host (0.0.0.0).
func newTransport(network Network, bind netip.AddrPort, t *table, refusals *refusal.Counter[Reason], log *slog.Logger) (*transport, error) {
	udp, tcp, err := listenBoth(network, bind)
	if err != nil {
		return nil, fmt.Errorf("listen for gossip on %s: %w", bind, err)
	}
	tr := &transport{
		network: network, table: t, refusals: refusals, log: log,
		udp: udp, tcp: tcp,
		packets: make(chan *memberlist.Packet),
		streams: make(chan net.Conn),
		conns:   conns{open: map[*conn]struct{}{}},
	}
	tr.ctx, tr.stop = context.WithCancel(context.Background())
	tr.loops.Go(tr.readPackets)
	tr.loops.Go(tr.acceptStreams)
	return tr, nil
}

// port is where it listens.
func (t *transport) port() uint16 {
	at, err := netip.ParseAddrPort(t.tcp.Addr().String())
	if err != nil {
		return 0
	}
	return at.Port()
}

// FinalAdvertiseAddr is the table's address of this host; memberlist's
// configuration has no say.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	own := t.table.addr(t.table.self)
	return own.Addr().AsSlice(), int(own.Port()), nil
}

// PacketCh is where memberlist takes packets from.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh is where memberlist takes connections from.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// reaches returns where a host is to be sent to. Nothing is sent to a name with
// another address than the table's: memberlist still probes a host for a while
// that the table no longer has, and gets no answer.
func (t *transport) reaches(a memberlist.Address) (netip.AddrPort, bool) {
	at, err := netip.ParseAddrPort(a.Addr)
	if err != nil || a.Name == "" || t.table.addr(a.Name) != unmap(at) {
		t.refusals.Add(OutgoingForeign, a.Name, a.Addr)
		return netip.AddrPort{}, false
	}
	return at, true
}

// WriteToAddress sends a packet. One that the table forbids is lost, as one that
// the network lost: an error would make memberlist give up the probe without a
// verdict.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, ok := t.reaches(a)
	if !ok {
		return time.Now(), nil
	}
	t.sentPackets.Add(1)
	t.sentBytes.Add(uint64(len(b)))
	_, err := t.udp.WriteTo(b, net.UDPAddrFromAddrPort(to))
	return time.Now(), err
}

// DialAddressTimeout opens a connection that ends by streamTimeout whatever
// memberlist does with it.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	to, ok := t.reaches(a)
	if !ok {
		return nil, fmt.Errorf("dial %s: not in the table of hosts", a.Addr)
	}
	ctx, cancel := context.WithTimeout(t.ctx, min(timeout, dialTimeout))
	defer cancel()
	c, err := t.network.Dial(ctx, t.table.addr(t.table.self).Addr(), to)
	if err != nil {
		return nil, err
	}
	return t.conns.add(c, t, true)
}

// WriteTo is what memberlist calls for a packet to nobody by name: never, with
// node names required.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// DialTimeout is WriteTo's sibling.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// Shutdown closes everything and waits.
func (t *transport) Shutdown() error {
	t.stop()
	err := errors.Join(t.udp.Close(), t.tcp.Close())
	t.conns.closeAll()
	t.loops.Wait()
	return err
}

func (t *transport) readPackets() {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := t.udp.ReadFrom(buf)
		now := time.Now()
		if err != nil {
			if !t.again("read packet", err) {
				return
			}
			continue
		}
		at := addrPort(from)
		if !t.table.sender(at) {
			t.refusals.Add(ForeignAddress, at.String(), "packet")
			continue
		}
		t.receivedPackets.Add(1)
		t.receivedBytes.Add(uint64(n))
		p := &memberlist.Packet{Buf: append([]byte(nil), buf[:n]...), From: from, Timestamp: now}
		if n == 0 {
			continue
		}
		select {
		case t.packets <- p:
		case <-t.ctx.Done():
			return
		}
	}
}

func (t *transport) acceptStreams() {
	for {
		c, err := t.tcp.Accept()
		if err != nil {
			if !t.again("accept connection", err) {
				return
			}
			continue
		}
		from := addrPort(c.RemoteAddr())
		if !t.table.caller(from.Addr()) {
			t.refusals.Add(ForeignAddress, from.Addr().String(), "connection")
			c.Close()
			continue
		}
		tracked, err := t.conns.add(c, t, false)
		if err != nil {
			if errors.Is(err, errTooMany) {
				t.refusals.Add(TooManyStreams, from.Addr().String(), "connection")
			}
			continue
		}
		select {
		case t.streams <- tracked:
		case <-t.ctx.Done():
			tracked.Close()
			return
		}
	}
}

// again waits a little after an error of a socket that is still wanted.
func (t *transport) again(what string, err error) bool {
	if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return false
	}
	t.log.Warn("gossip socket", "doing", what, "err", err)
	select {
	case <-time.After(100 * time.Millisecond):
		return true
	case <-t.ctx.Done():
		return false
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return a.AddrPort()
	case *net.TCPAddr:
		return a.AddrPort()
	}
	return netip.AddrPort{}
}
