package sync

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// Peer is what this host knows of its exchange with another one.
type Peer struct {
	Host      string
	Address   netip.AddrPort
	Wanted    bool // this host keeps a connection of its own to it
	Connected bool // and it is up
	Since     time.Time

	// Theirs is the range of protocols that the peer said it speaks, zero while
	// it said nothing; Protocol is the one in use, zero when there is none.
	Theirs   catalog.Protocols
	Protocol uint64

	Exchanged time.Time // the last exchange of digests that was complete, whoever began it; zero: none since Start
	Failure   string    // why the last attempt at it failed; empty when it did not
	Failures  int       // attempts in a row
}

// Stats counts since Start.
type Stats struct {
	Hosts     int // that this host may speak with
	Connected int // of them, over a connection of this host's own
	Inbound   int // connections that others opened and that are up

	Exchanges, ExchangesFailed uint64 // begun here
	Same                       uint64 // of them, those in which there was nothing to tell
	Pushes, PushesDropped      uint64 // deltas given to connections; left to the next exchange because a peer was slow
	Received, Relayed          uint64 // deltas that were pushed to this host; passed on
	Calls, CallsServed         uint64
	Panics                     uint64 // of handlers and of the catalog, all survived

	SentBytes, ReceivedBytes uint64 // of all connections, as they are on the wire

	Refused map[Reason]uint64
}

// counters are those of Stats that only grow.
type counters struct {
	exchanges, exchangesFailed, same atomic.Uint64
	pushes, pushesDropped            atomic.Uint64
	received, relayed                atomic.Uint64
	calls, callsServed, panics       atomic.Uint64
	sentBytes, receivedBytes         atomic.Uint64
}

// Peers are the hosts that this one may speak with, by name.
func (s *Sync) Peers() []Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	peers := make([]Peer, 0, len(s.order))
	for _, p := range s.order {
		now := Peer{
			Host: p.host, Address: p.addr, Wanted: p.stop != nil, Connected: p.link != nil, Since: p.since,
			Theirs: p.theirs, Exchanged: p.exchanged, Failure: p.failure, Failures: p.failures,
		}
		if p.theirs != (catalog.Protocols{}) {
			now.Protocol, _ = s.opts.Protocols.Common(p.theirs)
		}
		peers = append(peers, now)
	}
	return peers
}

// Stats are the counters.
func (s *Sync) Stats() Stats {
	c := &s.counters
	stats := Stats{
		Exchanges: c.exchanges.Load(), ExchangesFailed: c.exchangesFailed.Load(), Same: c.same.Load(),
		Pushes: c.pushes.Load(), PushesDropped: c.pushesDropped.Load(),
		Received: c.received.Load(), Relayed: c.relayed.Load(),
		Calls: c.calls.Load(), CallsServed: c.callsServed.Load(), Panics: c.panics.Load(),
		SentBytes: c.sentBytes.Load(), ReceivedBytes: c.receivedBytes.Load(),
		Refused: s.refusals.Counts(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Hosts = len(s.order)
	for _, p := range s.order {
		if p.link != nil {
			stats.Connected++
		}
		for c := range p.conns {
			if c.inbound {
				stats.Inbound++
			}
		}
	}
	return stats
}
