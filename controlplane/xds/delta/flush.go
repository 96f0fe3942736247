package delta

import (
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// abreastMost bounds the messages of one type on their way, where they do not wait
// for each other: clusters, since they are acknowledged when all is warm, and what
// goes alone.
const abreastMost = 64

// alone says that each resource of a type has a message of its own. Envoy does not
// say which of a message it refused, and takes the same one again without a look (see
// look): there is no finding out later.
func alone(t xds.Type) bool { return t == xds.Secret || t == xds.Extension }

// flush is all that may be sent now, in order, and when to look again by the clock.
func (s *Server) flush(st *stream) ([]*response, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != st || !s.begun {
		return nil, time.Time{}
	}
	p := &pass{st: st, now: time.Now(), out: st.extra}
	st.extra = nil
	p.retry()
	p.expire()
	for _, t := range xds.Types() {
		p.feed(st.feeds[t])
	}
	p.removals()
	if settled := st.settled(); settled != st.rested {
		st.rested = settled
		s.notify()
	}
	return p.out, p.next
}

// pass is one look at everything.
type pass struct {
	st   *stream
	now  time.Time
	out  []*response
	next time.Time
}

// again asks for another pass at a time.
func (p *pass) again(at time.Time) {
	if p.next.IsZero() || at.Before(p.next) {
		p.next = at
	}
}

// retry offers what may be taken by now, each alone.
func (p *pass) retry() {
	for k, r := range p.st.s.shelf.refused {
		f := p.st.feeds[k.Type]
		switch {
		case r.retry.IsZero() || r.trying || !f.asked:
		case p.now.Before(r.retry):
			p.again(r.retry)
		default:
			r.trying = true
			f.mark(k.Name)
			f.groups = append(f.groups, []string{k.Name})
		}
	}
}

// expire gives up on subscriptions that do not come.
func (p *pass) expire() {
	for _, f := range p.st.feeds {
		for name, until := range f.awaited {
			if p.now.Before(until) {
				p.again(until)
				continue
			}
			delete(f.awaited, name)
			p.st.s.notify()
		}
	}
}

// feed sends what is new of a type.
func (p *pass) feed(f *feed) {
	for f.asked && len(f.dirty)+len(f.groups) > 0 || f.owed {
		if until, blocked := f.blocked(p.now, p.st.s.opts.Timings.Ack); blocked && (f.typ != xds.Cluster && !alone(f.typ) || len(f.flights) >= abreastMost) {
			p.again(until)
			return
		}
		d := p.draft(f)
		if d.empty() && (!f.owed || len(f.dirty) > 0) {
			return // it waits, or Envoy has it all
		}
		f.owed = false
		p.post(f, d)
	}
}

// draft takes what goes into the next message of a type.
func (p *pass) draft(f *feed) *draft {
	d := &draft{}
	for len(f.groups) > 0 && d.empty() {
		group := f.groups[0]
		f.groups = f.groups[1:]
		for _, name := range group {
			p.consider(f, d, name)
		}
	}
	if !d.empty() {
		return d
	}
	for _, name := range slices.Sorted(maps.Keys(f.dirty)) {
		if !p.consider(f, d, name) {
			break
		}
	}
	return d
}

// consider puts a resource into the message, if Envoy is to hear of it now. It is
// false where the message is full.
func (p *pass) consider(f *feed, d *draft, name string) bool {
	if !f.subscribed(name) {
		f.drop(name)
		return true
	}
	r, keep := p.st.s.shelf.offer(f.key(name))
	known, heard := f.known[name]
	_, forced := f.forced[name]
	forced = forced || p.st.s.shelf.maybe[f.key(name)] && f.after(0, name) == nil
	if r != nil {
		delete(f.gone, name)
	}
	switch {
	case r != nil && (forced || known != r.Version || f.heardOther(r)):
		if p.waits(f, r) || d.full(r, f.typ) {
			f.dirty[name] = struct{}{}
			return !d.full(r, f.typ)
		}
		p.look(f, r)
		d.sent = append(d.sent, sent{Resource: r, before: known, heard: heard})
		d.size += len(r.Body)
		f.known[name] = r.Version
		p.follow(r)
	case r != nil || keep && known != "":
		p.st.expect(r)
	case p.st.has(f, name):
		f.settleLater(name, p.now)
	case f.named(name) && (forced || !heard):
		if len(d.sent)+len(d.removed) >= countMost || alone(f.typ) && len(d.sent) > 0 {
			return false
		}
		d.removed = append(d.removed, name)
		f.known[name] = ""
		p.st.s.shelf.forget(f.key(name))
	default:
		p.st.s.shelf.forget(f.key(name))
	}
	delete(f.dirty, name)
	delete(f.forced, name)
	delete(f.waiting, name)
	return true
}

// follow has the assignment of a cluster sent right behind it: a changed cluster
// warms until it comes, and Envoy does not ask for what it has.
func (p *pass) follow(r *xds.Resource) {
	if r.Type != xds.Cluster {
		return
	}
	assignments := p.st.feeds[xds.Assignment]
	for _, need := range r.Needs {
		if need.Type == xds.Assignment && assignments.named(need.Name) {
			assignments.force(need.Name)
		}
	}
}

// waits says that a resource names a cluster that Envoy is still to warm. The wait
// is bounded.
func (p *pass) waits(f *feed, r *xds.Resource) bool {
	if f.typ == xds.Cluster || !slices.ContainsFunc(r.Needs, p.cold) {
		return false // clusters of clusters look for them when they are used
	}
	until, ok := f.waiting[r.Name]
	if !ok {
		until = p.now.Add(p.st.s.opts.Timings.Warm)
		f.waiting[r.Name] = until
	}
	if !p.now.Before(until) {
		return false
	}
	p.again(until)
	return true
}

func (p *pass) cold(need xds.Key) bool {
	if need.Type != xds.Cluster {
		return false
	}
	r, _ := p.st.s.shelf.offer(need)
	return r != nil && p.st.s.shelf.entry(need).acked != r.Version
}
