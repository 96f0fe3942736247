package gossip

// Stats counts since Start.
type Stats struct {
	Alive int // members that take part, this host included
	Hosts int // of the table, this host included

	SentPackets, ReceivedPackets uint64
	SentBytes, ReceivedBytes     uint64 // of packets and connections, encrypted

	Knocks, KnocksFailed uint64

	HintsSent, HintsReceived   uint64
	HintsRepeated, HintsMissed uint64 // heard before; not taken by OnHint in time
	HintsQueued                int

	// Health is memberlist's idea of this host itself: 0 is well, each step
	// stretches its probes by a second.
	Health int

	Refused map[Reason]uint64
}

// Stats returns the counters.
func (g *Gossip) Stats() Stats {
	s := Stats{
		Alive:         g.view.alive(),
		Hosts:         len(g.table.names()),
		HintsSent:     g.hints.sent.Load(),
		HintsReceived: g.hints.received.Load(),
		HintsRepeated: g.hints.repeated.Load(),
		HintsMissed:   g.hints.dropped.Load(),
		HintsQueued:   g.hints.queue.NumQueued(),
		Refused:       g.refusals.Counts(),
	}
	p := g.parts.Load()
	if p == nil {
		return s
	}
	s.SentPackets, s.SentBytes = p.transport.sentPackets.Load(), p.transport.sentBytes.Load()
	s.ReceivedPackets, s.ReceivedBytes = p.transport.receivedPackets.Load(), p.transport.receivedBytes.Load()
	s.Knocks, s.KnocksFailed = p.knocker.tried.Load(), p.knocker.failed.Load()
	s.Health = p.list.GetHealthScore()
	return s
}
