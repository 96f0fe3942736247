package delta

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// TestStrictPeer drives the server with whole configurations, single assignments,
// reconnects, restarts of either side and poison, against a peer that fails on
// whatever is unsolicited, sent again, out of order, or never comes.
func TestStrictPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		check := func(t *rapid.T) {
			m := &machine{T: t, config: map[xds.Key]*xds.Resource{}, poison: map[string]bool{}}
			m.poisoning = rapid.Bool().Draw(t, "poisoning")
			m.peer = newPeer(New(Options{}), t.Fatalf)
			m.peer.poisoned = func(r *xds.Resource) bool { return m.poison[id(r)] }
			t.Repeat(map[string]func(*rapid.T){
				"replace":        m.replace,
				"flap":           m.flap,
				"deliver":        func(*rapid.T) { m.peer.pump(); m.peer.deliver() },
				"deliver all":    m.drain,
				"settle":         m.settle,
				"reconnect":      m.reconnect,
				"envoy restarts": func(*rapid.T) { m.peer.restart(); m.peer.slow = true },
				"agent restarts": m.restart,
				"ask again":      m.again,
				"wait":           m.wait,
			})
			m.settle(t)
		}
		for range 5 { // some hundred runs, in a second
			rapid.Check(struct{ testing.TB }{t}, check)
		}
	})
}

type machine struct {
	*rapid.T
	peer      *peer
	config    map[xds.Key]*xds.Resource
	poison    map[string]bool
	poisoning bool
}

func id(r *xds.Resource) string { return string(r.Type) + " " + r.Name + " " + r.Version }

func (m *machine) drain(*rapid.T) {
	for range 500 {
		m.peer.pump()
		if !m.peer.deliver() {
			return
		}
	}
	m.Fatal("no end of messages")
}

func (m *machine) reconnect(*rapid.T) {
	m.peer.slow = true // what it waited for, it waits for anew
	m.peer.connect()
}

func (m *machine) restart(t *rapid.T) {
	p := m.peer
	p.slow, p.forgot = true, true
	p.s = New(Options{})
	before := rapid.Bool().Draw(t, "told before Envoy comes")
	if before {
		m.tell()
	}
	p.connect()
	p.pump()
	if !before {
		if len(p.wire) > 0 {
			t.Fatal("an agent that knows nothing says something")
		}
		m.tell()
	}
}

func (m *machine) tell() {
	keys := slices.SortedFunc(maps.Keys(m.config), xds.Key.Compare)
	var all []*xds.Resource
	for _, k := range keys {
		all = append(all, m.config[k])
	}
	m.peer.want(all...)
}

func (m *machine) again(t *rapid.T) {
	d := m.peer.types[xds.Assignment]
	if !d.asked || len(d.subs) == 0 {
		return
	}
	name := rapid.SampledFrom(slices.Sorted(maps.Keys(d.subs))).Draw(t, "name")
	d.may[name] = true
	m.peer.hear(&request{TypeUrl: string(xds.Assignment), ResourceNamesSubscribe: []string{name}})
}

func (m *machine) wait(t *rapid.T) {
	time.Sleep(time.Duration(rapid.IntRange(1, 6000).Draw(t, "ms")) * time.Millisecond)
	m.peer.slow = true
}

// flap changes one assignment.
func (m *machine) flap(t *rapid.T) {
	k := xds.Key{Type: xds.Assignment, Name: fmt.Sprint("e", rapid.IntRange(0, 3).Draw(t, "n"))}
	if m.config[k] == nil {
		return
	}
	r := thing(k.Type, k.Name, m.version(t))
	m.add(t, r)
	m.peer.learn([]*xds.Resource{r})
	m.peer.s.Update([]*xds.Resource{r})
}

func (m *machine) version(t *rapid.T) string {
	return fmt.Sprint("v", rapid.IntRange(0, 3).Draw(t, "version"))
}

func (m *machine) add(t *rapid.T, r *xds.Resource) {
	m.config[r.Key] = r
	if _, judged := m.poison[id(r)]; !judged { // one version is always taken, or never
		m.poison[id(r)] = m.poisoning && rapid.IntRange(0, 9).Draw(t, "poison") == 0
	}
}

// replace draws a configuration in which every name is there.
func (m *machine) replace(t *rapid.T) {
	clear(m.config)
	draw := func(label string, n int) []int {
		return rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, n, rapid.ID).Draw(t, label)
	}
	key := func(t xds.Type, prefix string, n int) xds.Key { return xds.Key{Type: t, Name: fmt.Sprint(prefix, n)} }
	var clusters []xds.Key
	for _, i := range draw("clusters", 4) {
		e, s := key(xds.Assignment, "e", i), key(xds.Secret, "s", i%2)
		m.add(t, thing(e.Type, e.Name, m.version(t)))
		m.add(t, thing(s.Type, s.Name, m.version(t)))
		c := thing(xds.Cluster, fmt.Sprint("c", i), m.version(t), e, s)
		m.add(t, c)
		clusters = append(clusters, c.Key)
	}
	if len(clusters) > 1 && rapid.Bool().Draw(t, "aggregate") {
		c := thing(xds.Cluster, "all", m.version(t), clusters...)
		m.add(t, c)
		clusters = append(clusters, c.Key)
	}
	for _, i := range draw("listeners", 4) {
		x := thing(xds.Extension, fmt.Sprint("x", i), m.version(t))
		m.add(t, x)
		needs := []xds.Key{x.Key}
		if i%2 == 0 && len(clusters) > 0 {
			r := thing(xds.Route, fmt.Sprint("r", i), m.version(t), clusters[:rapid.IntRange(1, len(clusters)).Draw(t, "routed")]...)
			m.add(t, r)
			needs = append(needs, r.Key)
		} else if len(clusters) > 0 {
			needs = append(needs, rapid.SampledFrom(clusters).Draw(t, "cluster"))
		}
		m.add(t, thing(xds.Listener, fmt.Sprint("l", i), m.version(t), needs...))
	}
	m.tell()
}

// settle waits for the end of everything, and compares.
func (m *machine) settle(t *rapid.T) {
	p := m.peer
	if !p.s.begun {
		return
	}
	p.settle()
	st := p.s.Status()
	if !st.Settled || st.Pending != 0 || len(st.Warming) != 0 {
		for _, f := range p.st.feeds {
			t.Logf("%s: dirty %v gone %v groups %v awaited %v waiting %v flights %d owed %v", short(f.typ), f.dirty, f.gone, f.groups, f.awaited, f.waiting, len(f.flights), f.owed)
		}
		t.Fatalf("not settled: pending %d, warming %v, refused %v, held %v", st.Pending, st.Warming, st.Refused, p.s.shelf.held)
	}
	held := map[xds.Key]bool{}
	refused := map[xds.Key]bool{}
	for _, r := range st.Refused {
		refused[r.Key] = true
		for _, k := range r.Held {
			held[k] = true
		}
		if !m.poison[id(m.config[r.Key])] {
			t.Fatalf("%s is refused, and was not poisoned", r.Key.Name)
		}
		if got := p.types[r.Key.Type].have[r.Key.Name]; got == r.Version {
			t.Fatalf("%s is refused and in use", r.Key.Name)
		}
	}
	for k, r := range m.config {
		d := p.types[k.Type]
		if !d.wild && !d.subs[k.Name] || held[k] || refused[k] || p.forgot && d.tainted[k.Name] && !alone(k.Type) {
			continue
		}
		if d.have[k.Name] != r.Version {
			t.Fatalf("%s: Envoy has %q, wanted is %q", k.Name, d.have[k.Name], r.Version)
		}
		if got := p.s.AckedVersion(k); got != r.Version {
			t.Fatalf("%s: acknowledged is %q, wanted is %q", k.Name, got, r.Version)
		}
	}
	for _, ty := range []xds.Type{xds.Cluster, xds.Listener} {
		for name := range p.types[ty].have {
			k := xds.Key{Type: ty, Name: name}
			if _, kept := p.s.shelf.kept[k]; m.config[k] == nil && !kept && (!p.forgot || !p.types[ty].tainted[name]) { // Envoy did not say so
				t.Fatalf("%s is still there", name)
			}
		}
	}
	p.slow = false
}
