package catalog

import "time"

// How long what is no longer true is kept.
const (
	// TombstoneLife is longer than most absences. A host that was away longer
	// shows what was deleted meanwhile for as long as it takes to read the owner
	// again: the sums tell it.
	TombstoneLife = 24 * time.Hour

	// LeftoverLife bounds how long records of an old epoch are shown when the
	// new one never gets complete.
	LeftoverLife = 10 * time.Minute
)

// Tick lets time pass: tombstones and overrides end, hosts that do not answer
// are taken out, flapping services come back. The agent calls it every second
// or so; what changes by it is in Since.
func (c *Catalog) Tick(now time.Time) {
	c.judge(now)
	for _, o := range c.owners {
		c.forget(now, o)
		for key, d := range o.flaps {
			before := d.held
			d.pass(now)
			if before && !d.held {
				c.log.add(Change{What: ServiceChanged, Host: o.name, Name: key.service})
			}
			if d.idle() {
				delete(o.flaps, key)
			}
		}
	}
	c.overrides.tick(now)
}

func (c *Catalog) forget(now time.Time, o *owner) {
	if len(o.leftovers) > 0 && now.Sub(o.leftoversSince) > LeftoverLife {
		for _, key := range o.dropLeftovers() {
			c.changed(o.name, key)
		}
	}
	if !o.complete || o.deleted == 0 {
		return
	}
	top := o.top()
	for i := 0; i < len(o.bySeq); {
		// The newest record stays: its sum is what readers need.
		if e := o.bySeq[i]; e != top && e.Deleted && now.Sub(e.received) > TombstoneLife {
			o.drop(e)
			continue
		}
		i++
	}
}
