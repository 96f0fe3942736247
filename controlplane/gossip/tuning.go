package gossip

import (
	"time"

	"github.com/hashicorp/memberlist"
)

// The LAN profile. N is the number of members, log10 counts at least 1.
const (
	// gossipInterval and gossipNodes: every member sends what is news to this
	// many others, this often. All know after about log(N)/log(1+gossipNodes)
	// rounds: four at N = 500.
	gossipInterval = 100 * time.Millisecond
	gossipNodes    = 4

	// retransmitMult: each news is sent retransmitMult x ceil(log10(N+1)) times
	// by every member: 4 up to 9 members, 12 at 500. With 3 instead, and one
	// packet in five lost, a member misses five times as often that a suspect
	// refuted (TestLoss: 12 instead of 2 times in ten minutes among 20).
	retransmitMult = 4

	// probeInterval: every member probes one other this often, in turn, so a
	// crashed host meets its first probe within a second, whatever N is. The
	// probe fails when neither a direct answer within probeTimeout, nor one over
	// three others, nor one over TCP came by the end of the interval. A member
	// that is slow itself stretches its own interval, up to awarenessMax times.
	probeInterval = time.Second
	probeTimeout  = 500 * time.Millisecond
	probeIndirect = 3
	awarenessMax  = 8

	// suspicionMult: a suspect has suspicionMult x log10(N) x probeInterval to
	// refute, once suspicionMult-2 others suspect it, too, and up to
	// suspicionMaxMult times as long before that. With 2 or 3 members nobody can
	// confirm and the short time counts. 4 s up to N = 10, 8 s at 100.
	suspicionMult    = 4
	suspicionMaxMult = 6

	// pushPullInterval: every member exchanges the whole list of members with
	// one other this often; x ceil(log2(N/32))+1 beyond 32. A net for what
	// gossip lost.
	pushPullInterval = 60 * time.Second

	// reclaimAfter: a dead host may come back with another address after this.
	// memberlist guards a name against a second holder with it; here the table
	// says which address a name has, so there is nothing to wait for.
	reclaimAfter = time.Second

	// gossipToTheDead: for so long a dead host still gets news, so that it can
	// refute; then memberlist forgets it.
	gossipToTheDead = 60 * time.Second

	// streamTimeout bounds every exchange over TCP, dialTimeout its opening: a
	// host in the LAN that has not answered the second SYN (1 s) is not there.
	streamTimeout = 10 * time.Second
	dialTimeout   = 2 * time.Second

	// packetSize bounds what is put into one packet, so that none is fragmented
	// in a tunnel: WireGuard leaves 1,420 bytes of 1,500, or 1,412 of a PPPoE line's
	// 1,492; IPv6 and UDP headers take 48.
	packetSize = 1350

	// backlog is how many messages may wait to be handled before more are dropped.
	backlog = 1024
)

// Bounds of what peers may make us hold.
const (
	maxHosts      = 4096    // hosts in a table
	maxStreams    = 64      // connections from others, at once
	maxStreamRead = 4 << 20 // bytes of one connection; 500 hosts' list with full meta is 0.4 MB
)

// config returns memberlist's configuration without what belongs to an
// instance. Compression stays off: what travels is small and mostly signatures.
func config() *memberlist.Config {
	return &memberlist.Config{
		ProtocolVersion:         memberlist.ProtocolVersion2Compatible, // what v0.7.0 speaks by default; it understands 1 to 5
		TCPTimeout:              streamTimeout,
		IndirectChecks:          probeIndirect,
		RetransmitMult:          retransmitMult,
		SuspicionMult:           suspicionMult,
		SuspicionMaxTimeoutMult: suspicionMaxMult,
		PushPullInterval:        pushPullInterval,
		ProbeInterval:           probeInterval,
		ProbeTimeout:            probeTimeout,
		AwarenessMaxMultiplier:  awarenessMax,
		GossipInterval:          gossipInterval,
		GossipNodes:             gossipNodes,
		GossipToTheDeadTime:     gossipToTheDead,
		GossipVerifyIncoming:    true,
		GossipVerifyOutgoing:    true,
		EnableCompression:       false,
		HandoffQueueDepth:       backlog,
		UDPBufferSize:           packetSize,
		DeadNodeReclaimTime:     reclaimAfter,
		RequireNodeNames:        true,
		QueueCheckInterval:      30 * time.Second, // its own metrics only
	}
}
