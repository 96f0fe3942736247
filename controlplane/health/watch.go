package health

import (
	"maps"
	"slices"
	"time"
)

// lookPeriod is how often units and what is shown of them are looked at without
// any notice.
const lookPeriod = time.Second

// restPeriod is the least time between two looks, however many notices come.
const restPeriod = 20 * time.Millisecond

// watch starts what looks at the units: each second, and whenever the kernel
// says that their cgroups changed. The caller holds mu.
func (h *Health) watch() {
	notice := make(chan struct{}, 1)
	if h.eyes != nil && !h.opts.NoWatch {
		n, err := openNotices()
		if err != nil {
			// As many as the user may have are open: each second is often enough.
			h.opts.Logger.Warn("no notices of cgroups, looking each second", "err", err)
		} else {
			h.eyes.notices = n
			h.wg.Go(func() {
				for n.wait() == nil {
					select {
					case notice <- struct{}{}:
					default:
					}
				}
			})
			h.look(time.Now()) // which asks for the notices
		}
	}
	h.wg.Go(func() {
		tick := time.NewTicker(lookPeriod)
		defer tick.Stop()
		for {
			select {
			case <-notice:
			case <-tick.C:
			case <-h.ctx.Done():
				h.unwatch()
				return
			}
			h.mu.Lock()
			h.look(time.Now())
			h.mu.Unlock()
			rest := time.NewTimer(restPeriod)
			select {
			case <-rest.C:
			case <-h.ctx.Done():
				rest.Stop()
			}
		}
	})
}

// unwatch ends the notices.
func (h *Health) unwatch() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.eyes != nil {
		h.eyes.notices.close()
		h.eyes.notices = notices{}
	}
}

// look sees which units run, and what that makes of the instances. The caller
// holds mu.
func (h *Health) look(now time.Time) {
	if h.eyes != nil {
		sights := h.eyes.look(slices.Collect(maps.Keys(h.units)))
		for _, i := range h.instances {
			if !i.unit.see(now, sights[i.unit.name]) {
				continue
			}
			for _, c := range i.checks {
				c.forget()
			}
			h.recall(i)
		}
	}
	h.review(now)
}
