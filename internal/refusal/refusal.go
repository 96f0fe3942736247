// Package refusal counts what was refused, by reason, and tells it without
// flooding the log: whoever is refused can try again ten thousand times a second.
package refusal

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

const (
	logEvery = time.Minute // a name is told at most this often
	names    = 256         // names that are remembered for that
	maxName  = 128         // bytes of a name; a stranger may have sent it
)

// Counter counts refusals. It may be used by many at once.
type Counter[Reason ~string] struct {
	log  *slog.Logger
	what string // the line of the log: "gossip refused"

	mu     sync.Mutex // guards what follows
	counts map[Reason]uint64
	told   map[string]time.Time
}

// New makes a counter that tells in log, with what as its line.
func New[Reason ~string](log *slog.Logger, what string) *Counter[Reason] {
	return &Counter[Reason]{log: log, what: what, counts: map[Reason]uint64{}, told: map[string]time.Time{}}
}

// Add counts a refusal, and logs it at most once a minute for each name: a host,
// or the address of a stranger. why is a text or an error.
func (c *Counter[Reason]) Add(reason Reason, name string, why any) {
	name = name[:min(len(name), maxName)]
	if c.count(reason, name) {
		c.log.Warn(c.what, "reason", string(reason), "name", name, "why", why)
	}
}

// count returns whether to tell.
func (c *Counter[Reason]) count(reason Reason, name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[reason]++
	now := time.Now()
	if last, ok := c.told[name]; ok && now.Sub(last) < logEvery {
		return false
	}
	if len(c.told) >= names {
		maps.DeleteFunc(c.told, func(_ string, at time.Time) bool { return now.Sub(at) >= logEvery })
		if len(c.told) >= names {
			return false // a flood of names: the counters have to do
		}
	}
	c.told[name] = now
	return true
}

// Counts are those of now, by reason.
func (c *Counter[Reason]) Counts() map[Reason]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}
