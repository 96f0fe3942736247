package catalog

import "time"

// Liveness is what membership says of a host.
type Liveness uint8

// Livenesses. A host of which membership never spoke is Unheard for a while
// from the start of this agent, then counts as Dead.
const (
	Unheard Liveness = iota
	Dead
	Suspect
	Alive
)

// Standing is what that means for calls to the host.
type Standing uint8

// Standings, the best last.
const (
	Removed  Standing = iota // not offered to callers
	Down                     // offered as unhealthy
	Doubtful                 // suspect for a while: others first
	Frozen                   // dead or unheard, as far as a minority or a new agent can tell: as it was
	Up
)

func (s Standing) String() string {
	return [...]string{"removed", "dead", "suspect", "frozen", "alive"}[min(s, Up)]
}

const (
	startGrace   = 15 * time.Second // membership finds everybody by then
	suspectGrace = 3 * time.Second  // most suspicions are refuted by then
	deadLife     = 10 * time.Minute // a dead host is offered as unhealthy so long
)

type liveness struct {
	state    Liveness
	since    time.Time // of the state; of a dead host that was frozen, the end of that
	died     time.Time
	standing Standing
}

// SetLiveness takes what membership says of a host.
func (c *Catalog) SetLiveness(now time.Time, host string, state Liveness) {
	o := c.owners[host]
	if o == nil || host == c.self || o.liveness.state == state {
		return
	}
	l := &o.liveness
	if l.seen() {
		c.seen--
	}
	l.state, l.since, l.died = state, now, now
	if l.seen() {
		c.seen++
	}
	was := c.guard
	c.guard = was.Next(now, len(c.owners), c.seen)
	if c.guard != was {
		c.judge(now) // all of them
		return
	}
	c.judgeOne(now, o)
}

func (l *liveness) seen() bool { return l.state > Dead }

// Guard is the state of the minority guard.
func (c *Catalog) Guard() Guard { return c.guard }

// judge gives every host its standing.
func (c *Catalog) judge(now time.Time) {
	c.guard = c.guard.Next(now, len(c.owners), c.seen)
	for _, o := range c.owners {
		c.judgeOne(now, o)
	}
}

func (c *Catalog) judgeOne(now time.Time, o *owner) {
	standing := Up
	if o.name != c.self {
		standing = o.liveness.judge(now, c.guard)
	}
	if standing != o.liveness.standing {
		o.liveness.standing = standing
		c.log.add(Change{What: StandingChanged, Host: o.name})
	}
}

func (l *liveness) judge(now time.Time, guard Guard) Standing {
	if l.since.IsZero() {
		l.since = now
	}
	if l.state == Unheard {
		if now.Sub(l.since) < startGrace {
			return Frozen
		}
		l.state, l.since, l.died = Dead, now, now
	}
	if l.state == Dead && guard.holds(now, l.died) {
		l.since = now
		return Frozen
	}
	away := now.Sub(l.since)
	switch {
	case l.state == Alive || l.state == Suspect && away < suspectGrace:
		return Up
	case l.state == Suspect:
		return Doubtful
	case away < deadLife:
		return Down
	}
	return Removed
}
