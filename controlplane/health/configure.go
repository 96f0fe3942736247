package health

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// configureUnits: the caller holds mu.
func (h *Health) configureUnits(now time.Time, instances []hostfacts.Instance) {
	old := h.units
	h.units = make(map[string]*unit, len(instances))
	for _, i := range instances {
		u := old[i.Unit]
		if u == nil {
			u = &unit{name: i.Unit}
			if h.eyes == nil {
				u.running, u.since = true, now
			}
		}
		u.job, u.mayEnd = i.Job, i.MayEnd
		h.units[i.Unit] = u
	}
}

// configureChecks: the caller holds mu.
func (h *Health) configureChecks(facts []hostfacts.Check) {
	old := h.checks
	h.checks = make(map[string]*check, len(facts))
	for _, f := range facts {
		f.Place = "" // where it stands says nothing of what it is
		c := old[f.Name]
		if c != nil && reflect.DeepEqual(c.facts, f) {
			h.checks[f.Name] = c
			delete(old, f.Name)
			continue
		}
		h.checks[f.Name] = newCheck(f)
	}
	for _, c := range old {
		c.end()
	}
	if h.ctx == nil || h.ctx.Err() != nil {
		return
	}
	for name, c := range h.checks {
		if c.done == nil {
			h.launch(c, old[name])
		}
	}
}

// launch starts a check's goroutine, which waits for the end of the check that
// had its name before. The caller holds mu.
func (h *Health) launch(c, before *check) {
	var ctx context.Context
	ctx, c.cancel = context.WithCancelCause(h.ctx)
	c.done = make(chan struct{})
	h.wg.Go(func() {
		defer close(c.done)
		if before != nil && before.done != nil {
			<-before.done
		}
		h.repeat(ctx, c)
	})
}

// configureInstances: the caller holds mu.
func (h *Health) configureInstances(now time.Time, facts []hostfacts.Instance) {
	old := map[string]*instance{}
	for _, i := range h.instances {
		old[i.unit.name] = i
	}
	facts = slices.Clone(facts)
	slices.SortFunc(facts, func(a, b hostfacts.Instance) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Version, b.Version), strings.Compare(a.Unit, b.Unit))
	})
	h.instances = nil
	for _, f := range facts {
		i := old[f.Unit]
		if i == nil || i.shown.Service != f.Service || i.shown.Version != f.Version {
			i = &instance{unit: h.units[f.Unit], shown: Instance{Service: f.Service, Version: f.Version, Unit: f.Unit, Since: now}}
		}
		i.shown.Copy = 1
		if n := len(h.instances); n > 0 && h.instances[n-1].shown.Service == f.Service && h.instances[n-1].shown.Version == f.Version {
			i.shown.Copy = h.instances[n-1].shown.Copy + 1
		}
		i.checks = nil
		for _, name := range slices.Sorted(maps.Keys(h.checks)) {
			if c := h.checks[name]; c.facts.Unit == f.Unit {
				i.checks = append(i.checks, c)
			}
		}
		h.instances = append(h.instances, i)
	}
}
