package catalog

import "time"

// The minority guard: an agent that suddenly sees fewer than half of the fleet
// is more likely cut off itself than the survivor of so many deaths. It then
// takes no host out for a while; what is really gone fails on connect.
const (
	guardLeast  = 4 // hosts; a guard of fewer would keep the only other one
	guardLife   = 10 * time.Minute
	guardBefore = time.Minute // deaths of one partition are told over some seconds
)

// Guard is the state of the minority guard. The zero value is at rest.
type Guard struct {
	since time.Time // zero while half of the fleet or more is seen
}

// Next is the guard after a look at the fleet: seen counts this host, too.
func (g Guard) Next(now time.Time, fleet, seen int) Guard {
	if fleet < guardLeast || seen*2 >= fleet {
		return Guard{}
	}
	if g.since.IsZero() {
		g.since = now
	}
	return g
}

// Frozen says whether the guard holds, which it does for a bounded time.
func (g Guard) Frozen(now time.Time) bool {
	return !g.since.IsZero() && now.Sub(g.since) < guardLife
}

// holds says whether a host that died then is kept as it was: those that were
// dead long before are not brought back.
func (g Guard) holds(now, died time.Time) bool {
	return g.Frozen(now) && died.After(g.since.Add(-guardBefore))
}
