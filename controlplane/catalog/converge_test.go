package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// script lets hosts say random things and gives all deltas that came of it:
// pushes of single changes, and answers to digests of those who know nothing.
func script(rt *rapid.T, f *fleet) []*Delta {
	var said []*Delta
	services := []string{"a", "b", "c"}
	for range rapid.IntRange(1, 25).Draw(rt, "steps") {
		host := rapid.SampledFrom(f.names).Draw(rt, "host")
		c := f.at[host]
		before := c.Generation()
		switch rapid.IntRange(0, 9).Draw(rt, "what") {
		case 0:
			s, _ := c.Status(host)
			f.must(c.Restart(f.now, s.Epoch+1, f.keys.signer(host)))
		case 1:
			s, _ := c.Status(host)
			f.must(c.Start(f.now, s.Epoch+1, []Update{HostUpdate(plainHost)}, f.keys.signer(host)))
		case 2, 3:
			f.publish(host, Gone(rapid.SampledFrom(services).Draw(rt, "service")))
		case 4:
			f.publish(host, ServiceUpdate("a", one(Healthy)), Gone("b"), ServiceUpdate("c", one(Healthy)))
		default:
			health := Health(rapid.IntRange(1, 3).Draw(rt, "health"))
			f.publish(host, ServiceUpdate(rapid.SampledFrom(services).Draw(rt, "service"), one(health)))
		}
		changes, ok := c.Since(before)
		if !ok {
			rt.Fatal("changes are forgotten")
		}
		said = append(said, c.Push(f.now, changes), c.Delta(f.now, &Digest{}, MaxDelta))
	}
	return said
}

// shuffled gives deltas in another order, some twice and some never.
func shuffled(rt *rapid.T, deltas []*Delta, lossy bool) []*Delta {
	n := len(deltas)
	order := rapid.SliceOfN(rapid.IntRange(0, n-1), 0, 2*n).Draw(rt, "order")
	if !lossy {
		order = append(order, rapid.Permutation(numbers(n)).Draw(rt, "all")...)
	}
	out := make([]*Delta, len(order))
	for i, k := range order {
		out[i] = deltas[k]
	}
	return out
}

func numbers(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// Whatever order, repetition and loss there was, one exchange with the owners
// leaves everybody with the same.
func TestMergeConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet(t, 3)
		said := script(rt, f)
		for _, reader := range []string{"r1", "r2"} {
			f.at[reader] = catalogOf(reader, f.keys, configOf(append(slices.Clone(f.names), "r1", "r2")))
			for _, d := range shuffled(rt, said, true) {
				f.tell(reader, d)
			}
		}
		for range 3 {
			for _, reader := range []string{"r1", "r2"} {
				for _, owner := range f.names {
					f.tell(reader, f.at[owner].Delta(f.now, f.at[reader].Digest(f.now), MaxDelta))
				}
			}
		}
		if a, b := state(f.at["r1"]), state(f.at["r2"]); a != b {
			rt.Fatalf("%s\n%s", a, b)
		}
		for _, owner := range f.names {
			own, read := f.at[owner].owners[owner], f.at["r1"].owners[owner]
			if own.epoch != read.epoch || own.sum != read.sum || !read.complete {
				rt.Fatalf("%s: %+v, read %+v", owner, own.known(), read.known())
			}
		}
	})
}

// The same deltas in two orders, each with its own repetitions, leave the same
// records: merging is commutative, associative and idempotent.
func TestMergeNeedsNoOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet(t, 2)
		said := script(rt, f)
		var states []string
		for range 2 {
			c := catalogOf("r", f.keys, configOf(append(slices.Clone(f.names), "r")))
			for _, d := range shuffled(rt, said, false) {
				c.Merge(f.now, d)
			}
			states = append(states, state(c))
		}
		if states[0] != states[1] {
			rt.Fatalf("%s\n%s", states[0], states[1])
		}
	})
}

// A budget of any size gets there in the end.
func TestSmallBudgetsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newFleet(t, 3)
		script(rt, f)
		budget := rapid.IntRange(MaxRecord/8, MaxRecord).Draw(rt, "budget")
		c := catalogOf("r", f.keys, configOf(append(slices.Clone(f.names), "r")))
		for range 400 {
			for _, owner := range f.names {
				d := f.at[owner].Delta(f.now, c.Digest(f.now), budget)
				if n := len(d.Encode()); n > budget+16 {
					rt.Fatalf("%d bytes for a budget of %d", n, budget)
				}
				c.Merge(f.now, d)
			}
		}
		for _, owner := range f.names {
			if s, _ := c.Status(owner); !s.Complete {
				rt.Fatal(owner, s)
			}
		}
	})
}

// scheduler delivers messages late, twice or never, on fake time.
type scheduler struct {
	random  *rand.Rand
	loss    float64
	latency time.Duration
	cut     func(a, b int) bool
	queue   map[int64][]func()
	step    int64
}

const stepTime = 10 * time.Millisecond

func (s *scheduler) send(from, to int, deliver func()) {
	if s.random.Float64() < s.loss || s.cut != nil && s.cut(from, to) {
		return
	}
	copies := 1
	if s.random.Float64() < s.loss/2 {
		copies = 2
	}
	for range copies {
		at := s.step + 1 + s.random.Int64N(int64(s.latency/stepTime)+1)
		s.queue[at] = append(s.queue[at], deliver)
	}
}

// gossip runs digests once a second and pushes to a few peers, as agents do.
type gossip struct {
	*fleet
	*scheduler
	list   []*Catalog
	pushed []Generation
	quiet  bool // no pushes
}

func newGossip(t testing.TB, n int, loss float64) *gossip {
	g := &gossip{fleet: newFleet(t, n), pushed: make([]Generation, n)}
	g.scheduler = &scheduler{random: rand.New(rand.NewPCG(1, uint64(n))), loss: loss, latency: 50 * time.Millisecond, queue: map[int64][]func(){}}
	for _, name := range g.names {
		g.list = append(g.list, g.at[name])
	}
	return g
}

func (g *gossip) run(steps int, done func() bool) bool {
	n := len(g.list)
	for range steps {
		g.step++
		g.now = g.now.Add(stepTime)
		for _, deliver := range g.queue[g.step] {
			deliver()
		}
		delete(g.queue, g.step)
		for i, c := range g.list {
			g.push(i, c)
			if (g.step+int64(i)*7)%100 == 0 && n > 1 {
				g.ask(i, c, (i+1+g.random.IntN(n-1))%n)
			}
		}
		if done() {
			return true
		}
	}
	return false
}

func (g *gossip) push(i int, c *Catalog) {
	if c.Generation() == g.pushed[i] {
		return
	}
	changes, ok := c.Since(g.pushed[i])
	g.pushed[i] = c.Generation()
	if !ok || len(changes) > 20 || g.quiet {
		return // a burst: left to the digests
	}
	d := c.Push(g.now, changes)
	for range min(16, len(g.list)-1) {
		to := g.random.IntN(len(g.list))
		if to != i {
			g.send(i, to, func() { g.list[to].Merge(g.now, d) })
		}
	}
}

// ask exchanges both ways: a digest, what its sender lacks with the digest of
// the other, and what that one lacks.
func (g *gossip) ask(from int, c *Catalog, to int) {
	digest := c.Digest(g.now)
	g.send(from, to, func() {
		other := g.list[to]
		d, theirs := other.Delta(g.now, digest, 256<<10), other.Digest(g.now)
		g.send(to, from, func() {
			c.Merge(g.now, d)
			back := c.Delta(g.now, theirs, 256<<10)
			g.send(from, to, func() { other.Merge(g.now, back) })
		})
	})
}

func (g *gossip) agree() bool {
	root := g.list[0].Digest(g.now).Root()
	for _, c := range g.list[1:] {
		if c.Digest(g.now).Root() != root {
			return false
		}
	}
	return true
}

// agreeSeldom looks every tenth of a second, in large fleets every second.
func (g *gossip) agreeSeldom() bool {
	return (g.step%100 == 0 || g.step%10 == 0 && len(g.list) <= 200) && g.agree()
}

func TestFleetsConverge(t *testing.T) {
	for _, n := range []int{2, 3, 5, 50, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := newGossip(t, n, 0.2)
			met := g.meet(t)
			g.partition(t)
			t.Logf("%d hosts met in %s, one change reached the last in %s", n, met, g.change(t))
		})
	}
}

// BenchmarkConverge1000 tells times of a simulated fleet: digests once a second
// with a random peer, pushes to 16, 2 % loss, up to 50 ms latency.
func BenchmarkConverge1000(b *testing.B) {
	for b.Loop() {
		g := newGossip(b, 1000, 0.02)
		g.quiet = true // a thousand hosts that start at once meet by digests
		met := g.meet(b)
		g.quiet = false
		var took []time.Duration
		for range 100 {
			took = append(took, g.change(b))
		}
		slices.Sort(took)
		b.ReportMetric(met.Seconds(), "meet-s")
		b.ReportMetric(took[49].Seconds(), "change-p50-s")
		b.ReportMetric(took[98].Seconds(), "change-p99-s")
	}
}

// meet lets hosts that know nothing of each other learn everything.
func (g *gossip) meet(t testing.TB) time.Duration {
	begin := g.step
	if !g.run(6000, g.agreeSeldom) {
		t.Fatal("after a minute they do not know each other")
	}
	return time.Duration(g.step-begin) * stepTime
}

// change publishes one change and waits until the last has it.
func (g *gossip) change(t testing.TB) time.Duration {
	begin := g.step
	s, _ := g.at["h1"].Status("h1")
	seq := s.Seq + 1
	g.publish("h1", ServiceUpdate("web", one(Health(seq%2+2))))
	left := g.list
	heard := func() bool {
		for len(left) > 0 {
			if s, _ := left[0].Status("h1"); s.Seq < seq {
				return false
			}
			left = left[1:]
		}
		return true
	}
	if !g.run(3000, heard) {
		t.Fatal("not everybody heard of a change")
	}
	return time.Duration(g.step-begin) * stepTime
}

// partition cuts the fleet in two, lets both halves change, and heals.
func (g *gossip) partition(t *testing.T) {
	g.cut = func(a, b int) bool { return a%2 != b%2 }
	for _, name := range g.names[:2] {
		g.publish(name, ServiceUpdate("during", one(Healthy)))
		g.publish(name, ServiceUpdate("brief", one(Healthy)))
		g.publish(name, Gone("brief"))
	}
	g.run(1000, func() bool { return false })
	if g.agree() {
		t.Fatal("a partition that is none")
	}
	g.cut = nil
	healing := g.step
	if !g.run(6000, g.agreeSeldom) {
		t.Fatal("a minute after the partition they differ")
	}
	g.same()
	t.Logf("healed in %s", time.Duration(g.step-healing)*stepTime)
}
