package delta

import (
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// settleLater notes that a resource is to go, after what is new.
func (f *feed) settleLater(name string, now time.Time) {
	if _, ok := f.gone[name]; !ok {
		f.gone[name] = now
	}
}

// removals sends what is to go: first what names others, then what is named, each
// after Envoy has taken all that came before. The wait is bounded.
func (p *pass) removals() {
	ranks := [][]xds.Type{{xds.Listener, xds.Route, xds.Extension}, {xds.Cluster}, {xds.Assignment, xds.Secret}}
	quiet := p.quiet()
	for i, rank := range ranks {
		if !p.any(rank) {
			continue
		}
		if until := p.oldest(rank).Add(p.st.s.opts.Timings.Ack); !quiet && p.now.Before(until) {
			p.again(until)
			return
		}
		before := len(p.out)
		for _, t := range rank {
			p.remove(p.st.feeds[t])
		}
		if len(p.out) == before {
			continue // all of it is wanted again, or gone by itself
		}
		for _, later := range ranks[i+1:] { // their wait begins anew
			for _, t := range later {
				for name := range p.st.feeds[t].gone {
					p.st.feeds[t].gone[name] = p.now
				}
			}
		}
		return
	}
}

func (p *pass) any(rank []xds.Type) bool {
	return slices.ContainsFunc(rank, func(t xds.Type) bool { return len(p.st.feeds[t].gone) > 0 })
}

func (p *pass) oldest(rank []xds.Type) time.Time {
	oldest := p.now
	for _, t := range rank {
		for _, since := range p.st.feeds[t].gone {
			if since.Before(oldest) {
				oldest = since
			}
		}
	}
	return oldest
}

// quiet says that all that is new was sent and taken, or had its time. Endpoints do
// not count: they change all day, and a cluster that is taken has them.
func (p *pass) quiet() bool {
	if !p.st.feeds[xds.Cluster].asked || !p.st.feeds[xds.Listener].asked {
		return false // what it has is not known yet
	}
	for _, f := range p.st.feeds {
		if f.typ == xds.Assignment {
			continue
		}
		if until, blocked := f.blocked(p.now, p.st.s.opts.Timings.Ack); blocked {
			p.again(until)
			return false
		}
		if len(f.dirty)+len(f.groups)+len(f.awaited) > 0 {
			return false
		}
	}
	return true
}

// remove sends the removals of a type.
func (p *pass) remove(f *feed) {
	for len(f.gone) > 0 {
		d := &draft{}
		for _, name := range slices.Sorted(maps.Keys(f.gone)) {
			if len(d.removed) == countMost {
				break
			}
			delete(f.gone, name)
			if r, keep := p.st.s.shelf.offer(f.key(name)); r != nil || keep || !p.st.has(f, name) {
				continue // it is wanted again, or Envoy has let go of it
			}
			d.removed = append(d.removed, name)
			delete(f.forced, name)
			if f.named(name) {
				f.known[name] = ""
			} else {
				delete(f.known, name)
			}
			delete(p.st.s.shelf.maybe, f.key(name))
			p.st.s.shelf.has(f.key(name), "")
			p.st.s.shelf.forget(f.key(name))
		}
		if !d.empty() {
			p.post(f, d)
		}
	}
}
