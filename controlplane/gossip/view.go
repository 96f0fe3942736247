package gossip

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// view is the members as memberlist told them, and the events that nobody has
// taken yet. memberlist calls it with its own lock held: nothing here waits.
type view struct {
	table *table

	mu     sync.Mutex         // guards what follows
	seen   map[string]*Member // every host that memberlist knows or knew, but not this one
	news   time.Time          // when the last host joined or died
	events []Event            // at most one of each host: a slow taker gets the last
	wake   chan struct{}      // has one element while events wait
}

func newView(t *table) *view {
	return &view{table: t, seen: map[string]*Member{}, wake: make(chan struct{}, 1)}
}

// heard takes what memberlist said about a host that is alive.
func (v *view) heard(name string, at netip.AddrPort, meta Meta, joined bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.seen[name]
	if m == nil {
		m = &Member{Name: name, State: Unknown}
		v.seen[name] = m
	}
	m.Address = at
	kind := Updated
	switch {
	case joined:
		m.State, m.Since, m.RTT, kind = Alive, time.Now(), 0, Joined
	case meta.leaving: // the event comes with lost
		m.Meta = meta
		return
	case meta == m.Meta:
		return
	}
	m.Meta = meta
	v.tell(kind, m)
}

// suspected takes a failed probe of this host.
func (v *view) suspected(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m := v.seen[name]; m != nil && m.State == Alive {
		m.State, m.Since = Suspect, time.Now()
		v.tell(Suspected, m)
	}
}

// answered takes a probe of this host that was answered directly.
func (v *view) answered(name string, rtt time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if m := v.seen[name]; m != nil {
		m.RTT = rtt
		v.recover(m)
	}
}

// vouched takes a message that a host is alive, whether or not memberlist still
// heeds it. Of a host that leaves, such a message can come after the one that it
// left, since packets overtake each other.
func (v *view) vouched(name string, meta Meta) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.seen[name]
	switch {
	case m == nil:
	case m.State == Dead && meta.leaving:
		m.State, m.Since, m.Meta = Left, time.Now(), meta
		v.tell(Gone, m)
	default:
		v.recover(m)
	}
}

// recover wants mu held.
func (v *view) recover(m *Member) {
	if m.State == Suspect {
		m.State, m.Since = Alive, time.Now()
		v.tell(Recovered, m)
	}
}

// lost takes the end of a member. One that said it leaves has left.
func (v *view) lost(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m := v.seen[name]
	if m == nil {
		return
	}
	switch {
	case !v.table.addr(name).IsValid(): // Removed was told already
		delete(v.seen, name)
	case !m.Here(): // moved was told already
	case m.Meta.leaving:
		m.State, m.Since = Left, time.Now()
		v.tell(Gone, m)
	default:
		v.die(m)
	}
}

// die wants mu held.
func (v *view) die(m *Member) {
	m.State, m.Since = Dead, time.Now()
	v.tell(Died, m)
}

// changed takes the names that the table lost, the ones that it got, and the
// ones that have another address: where they were, nobody is any more.
func (v *view) changed(removed, added, moved []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range removed {
		if m := v.seen[name]; m != nil {
			v.tell(Removed, m)
			if !m.Here() {
				delete(v.seen, name)
			}
		}
	}
	for _, name := range added {
		if m := v.seen[name]; m != nil && m.Here() {
			v.tell(Joined, m)
		}
	}
	for _, name := range moved {
		if m := v.seen[name]; m != nil && m.Here() {
			v.die(m)
		}
	}
}

// tell wants mu held.
func (v *view) tell(kind EventKind, m *Member) {
	if kind == Joined || kind == Died {
		v.news = time.Now()
	}
	v.events = slices.DeleteFunc(v.events, func(e Event) bool { return e.Member.Name == m.Name })
	v.events = append(v.events, Event{Kind: kind, Member: *m, At: time.Now()})
	select {
	case v.wake <- struct{}{}:
	default:
	}
}

// take returns the events that wait, oldest first.
func (v *view) take() []Event {
	v.mu.Lock()
	defer v.mu.Unlock()
	events := v.events
	v.events = nil
	return events
}

// members lists the hosts of the table but this one, sorted by name.
func (v *view) members() []Member {
	names := v.table.names()
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]Member, 0, len(names))
	for _, name := range names {
		switch m := v.seen[name]; {
		case name == v.table.self:
		case m != nil:
			all = append(all, *m)
		default:
			all = append(all, Member{Name: name, Address: v.table.addr(name), State: Unknown})
		}
	}
	return all
}

// alive counts the members that take part, this host included.
func (v *view) alive() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 1
	for name, m := range v.seen {
		if m.Here() && v.table.addr(name).IsValid() {
			n++
		}
	}
	return n
}

// sinceNews is how long ago the last host joined or died.
func (v *view) sinceNews() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return time.Since(v.news)
}
