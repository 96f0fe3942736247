package memnet

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"
)

// Net is the wire between hosts. Its methods may be called at any time.
type Net struct {
	mu        sync.Mutex // guards what follows
	rand      *rand.Rand
	delay     time.Duration
	loss      float64
	group     map[netip.Addr]int
	down      map[netip.Addr]bool
	packets   map[netip.AddrPort]*packetConn
	listeners map[netip.AddrPort]*listener
	nextPort  uint16
	sent      Traffic
}

// Traffic counts what hosts gave to the wire, lost or not.
type Traffic struct {
	Packets, PacketBytes uint64
	Streams, StreamBytes uint64
}

// errNoRoute is what a dial to a host that is cut off ends with.
var errNoRoute = errors.New("no route to host")

// New returns a wire without loss and with a delay of 2 ms. The seed decides
// which packets are lost once there is loss.
func New(seed uint64) *Net {
	return &Net{
		rand:      rand.New(rand.NewPCG(seed, 0)),
		delay:     2 * time.Millisecond,
		group:     map[netip.Addr]int{},
		down:      map[netip.Addr]bool{},
		packets:   map[netip.AddrPort]*packetConn{},
		listeners: map[netip.AddrPort]*listener{},
		nextPort:  40000,
	}
}

// SetDelay sets the time one way. A packet takes between half and one and a
// half of it, so packets overtake each other; a stream's bytes do not.
func (n *Net) SetDelay(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = d
}

// SetLoss sets the share of packets, 0 to 1, that get lost.
func (n *Net) SetLoss(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// Partition lets hosts reach only hosts of their own group. Hosts that are
// named nowhere are a group of their own.
func (n *Net) Partition(groups ...[]netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.group)
	for i, hosts := range groups {
		for _, h := range hosts {
			n.group[h] = i + 1
		}
	}
}

// Heal ends all partitions.
func (n *Net) Heal() { n.Partition() }

// Cut takes a host off the wire, as a power cut or a pulled cable does.
func (n *Net) Cut(host netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down[host] = true
}

// Mend brings a cut host back.
func (n *Net) Mend(host netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.down, host)
}

// Traffic returns what all hosts sent so far.
func (n *Net) Traffic() Traffic {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

// reaches wants mu held.
func (n *Net) reaches(from, to netip.Addr) bool {
	return !n.down[from] && !n.down[to] && n.group[from] == n.group[to]
}

// lost wants mu held.
func (n *Net) lost() bool { return n.loss > 0 && n.rand.Float64() < n.loss }

// jittered wants mu held.
func (n *Net) jittered() time.Duration {
	return time.Duration(float64(n.delay) * (0.5 + n.rand.Float64()))
}
