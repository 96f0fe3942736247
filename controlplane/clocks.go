package controlplane

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// clocks compares this host's clock with those of the peers that it exchanges
// with: each signed digest says when it was made. Nothing is decided by it but
// what a person is told.
type clocks struct {
	problems *problems

	mu    sync.Mutex        // guards what follows
	ahead map[string]sample // by peer
}

// sample is what a peer's clock said.
type sample struct {
	ahead time.Duration // of this host's
	at    time.Time     // monotonic
}

// sampleLife is how long a peer's clock is remembered. Peers that know the same
// tell no time to each other.
const sampleLife = 15 * time.Minute

// maxClocks bounds the peers that are remembered.
const maxClocks = 256

// see notes a peer's clock.
func (c *clocks) see(host string, theirs, ours time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.ahead[host]; !known && len(c.ahead) >= maxClocks {
		clear(c.ahead)
	}
	c.ahead[host] = sample{ahead: theirs.Sub(ours.Round(0)), at: time.Now()}
}

// judge tells when this host's clock is the one that is off: when it differs from
// those of more than half of the peers in the same direction. One peer alone says
// nothing, unless there is no other in the fleet.
func (c *clocks) judge(peers int) {
	c.mu.Lock()
	var all []time.Duration
	for host, s := range c.ahead {
		if time.Since(s.at) > sampleLife {
			delete(c.ahead, host)
			continue
		}
		all = append(all, s.ahead)
	}
	c.mu.Unlock()
	if len(all) < min(2, max(1, peers)) {
		return
	}
	slices.Sort(all)
	low, high := all[(len(all)-1)/2], all[len(all)/2]
	off := low // of the two in the middle, the one that is nearer to this host's clock
	if high.Abs() < low.Abs() {
		off = high
	}
	if low < 0 && high > 0 || off.Abs() <= catalog.MaxSkew {
		c.problems.clear("clock")
		return
	}
	direction := "behind"
	if off < 0 {
		direction = "ahead of"
	}
	c.problems.set("clock", fmt.Sprintf("this host's clock is %s %s those of the others: overrides are refused here, and no certificate is renewed on its word alone",
		off.Abs().Round(time.Second), direction), "timedatectl status")
}
