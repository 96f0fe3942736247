package catalog

import (
	"fmt"
	"runtime"
	"testing"
)

// full is a catalog of another host that knows hosts with services on each.
func full(t testing.TB, hosts, services, perHost int, keys Keys, signer func(host string) Sign) (*Catalog, *Delta) {
	names := hostNames(hosts)
	var all []string
	for i := range services {
		all = append(all, fmt.Sprintf("s%d", i))
	}
	config := configOf(append(names, "reader"), all...)
	d := &Delta{}
	for i, name := range names {
		c := catalogOf(name, keys, config)
		updates := []Update{HostUpdate(plainHost)}
		for k := range perHost {
			updates = append(updates, ServiceUpdate(all[(i*perHost+k)%services], Service{Instances: []Instance{{Version: "v1", Copy: 1, Health: Healthy, Since: start}}}))
		}
		if err := c.Start(start, 1, updates, signer(name)); err != nil {
			t.Fatal(err)
		}
		d.Parts = append(d.Parts, c.Delta(start, &Digest{}, MaxDelta).Parts...)
	}
	return catalogOf("reader", keys, config), d
}

// One flap from the owner's record to a peer's endpoint, signatures included.
func BenchmarkChange(b *testing.B) {
	hosts := hostNames(2)
	keys := newRealKeys(hosts)
	config := configOf(hosts, "web")
	owner, peer := catalogOf("h0", keys, config), catalogOf("h1", keys, config)
	if err := owner.Start(start, 1, []Update{HostUpdate(plainHost), ServiceUpdate("web", one(Healthy))}, keys.signer("h0")); err != nil {
		b.Fatal(err)
	}
	peer.Merge(start, owner.Delta(start, &Digest{}, MaxDelta))
	n, size := 0, 0
	for b.Loop() {
		n++
		before, seen := owner.Generation(), peer.Generation()
		if err := owner.Publish(start, []Update{ServiceUpdate("web", one(Health(n%2*2+1)))}, keys.signer("h0")); err != nil {
			b.Fatal(err)
		}
		changes, _ := owner.Since(before)
		wire := owner.Push(start, changes).Encode()
		size = len(wire)
		d, err := DecodeDelta(wire)
		if err != nil {
			b.Fatal(err)
		}
		peer.Merge(start, d)
		for _, change := range must(peer.Since(seen)) {
			peer.Endpoint(start, config, change.Name, "", change.Host)
		}
	}
	b.ReportMetric(float64(size), "wire-B")
}

func must(changes []Change, ok bool) []Change {
	if !ok {
		panic("changes are forgotten")
	}
	return changes
}

// A new agent reads a fleet of 100 hosts and 1,000 services, and then once more.
func BenchmarkMerge(b *testing.B) {
	for _, perHost := range []int{50, 1000} {
		keys := newRealKeys(hostNames(100))
		_, d := full(b, 100, 1000, perHost, keys, keys.signer)
		config := configOf(append(hostNames(100), "reader"))
		for _, signatures := range []string{"ed25519", "free"} {
			var verifier Keys = keys
			if signatures == "free" {
				verifier = believer{}
			}
			b.Run(fmt.Sprintf("records=%d/signatures=%s", 100*(perHost+1), signatures), func(b *testing.B) {
				for b.Loop() {
					c := catalogOf("reader", verifier, config)
					if r := c.Merge(start, d); r.Taken != 100*(perHost+1) {
						b.Fatal(r)
					}
				}
			})
		}
		b.Run(fmt.Sprintf("records=%d/again", 100*(perHost+1)), func(b *testing.B) {
			c := catalogOf("reader", believer{}, config)
			c.Merge(start, d)
			for b.Loop() {
				c.Merge(start, d)
			}
		})
	}
}

// One flap in a full catalog: what a change costs does not grow with the fleet.
func BenchmarkFlapInFullCatalog(b *testing.B) {
	keys := newKeyring()
	c, d := full(b, 100, 1000, 1000, keys, keys.signer)
	c.Merge(start, d)
	owner := catalogOf("h7", keys, configOf(hostNames(100)))
	owner.Merge(start, &Delta{})
	if err := owner.Start(start, 2, []Update{HostUpdate(plainHost), ServiceUpdate("s1", one(Healthy))}, keys.signer("h7")); err != nil {
		b.Fatal(err)
	}
	c.Merge(start, owner.Delta(start, &Digest{}, MaxDelta))
	n := 0
	for b.Loop() {
		n++
		before, seen := owner.Generation(), c.Generation()
		if err := owner.Publish(start, []Update{ServiceUpdate("s1", one(Health(n%2*2+1)))}, keys.signer("h7")); err != nil {
			b.Fatal(err)
		}
		c.Merge(start, owner.Push(start, must(owner.Since(before))))
		c.Push(start, must(c.Since(seen)))
	}
}

// What passing time costs each second while nothing happens.
// BenchmarkSnapshot is what an agent does under the catalog's lock, to keep it.
func BenchmarkSnapshot(b *testing.B) {
	for _, perHost := range []int{50, 1000} {
		b.Run(fmt.Sprintf("records=%d", 100*(perHost+1)), func(b *testing.B) {
			keys := newKeyring()
			c, d := full(b, 100, 1000, perHost, keys, keys.signer)
			c.Merge(start, d)
			for b.Loop() {
				b.SetBytes(int64(len(c.Snapshot(start))))
			}
		})
	}
}

func BenchmarkTick(b *testing.B) {
	keys := newKeyring()
	c, d := full(b, 100, 1000, 1000, keys, keys.signer)
	c.Merge(start, d)
	for b.Loop() {
		c.Tick(start)
	}
}

// All endpoints of one service on 100 hosts, and one of them.
func BenchmarkEndpoints(b *testing.B) {
	keys := newKeyring()
	c, d := full(b, 100, 10, 10, keys, keys.signer)
	c.Merge(start, d)
	c.Tick(start)
	config := configOf(hostNames(100), "s1")
	config.Services["s1"].Versions[0].Name = "v1"
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			if len(c.Endpoints(start, config, "s1")) != 100 {
				b.Fatal("not all")
			}
		}
	})
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, ok := c.Endpoint(start, config, "s1", "v1", "h50"); !ok {
				b.Fatal("none")
			}
		}
	})
}

func BenchmarkDigest(b *testing.B) {
	for _, hosts := range []int{100, 1000} {
		keys := newKeyring()
		c, d := full(b, hosts, 10, 1, keys, keys.signer)
		c.Merge(start, d)
		theirs := c.Digest(start)
		b.Run(fmt.Sprintf("hosts=%d/encode", hosts), func(b *testing.B) {
			size := 0
			for b.Loop() {
				wire, err := c.Digest(start).Encode(keys.signer("reader"))
				if err != nil {
					b.Fatal(err)
				}
				size = len(wire)
			}
			b.ReportMetric(float64(size), "wire-B")
		})
		b.Run(fmt.Sprintf("hosts=%d/nothing lacking", hosts), func(b *testing.B) {
			for b.Loop() {
				c.Delta(start, theirs, MaxDelta)
			}
		})
	}
}

// BenchmarkMemory tells what a catalog keeps, records as they came over the wire.
func BenchmarkMemory(b *testing.B) {
	for _, perHost := range []int{50, 1000} {
		b.Run(fmt.Sprintf("records=%d", 100*(perHost+1)), func(b *testing.B) {
			keys := newKeyring()
			_, d := full(b, 100, 1000, perHost, keys, keys.signer)
			config := configOf(append(hostNames(100), "reader"))
			parts := make([][]byte, len(d.Parts))
			for i, p := range d.Parts {
				parts[i] = (&Delta{Parts: []Part{p}}).Encode()
			}
			d = nil
			for b.Loop() {
				before := heap()
				c := catalogOf("reader", keys, config)
				for _, wire := range parts {
					read, err := DecodeDelta(wire)
					if err != nil {
						b.Fatal(err)
					}
					c.Merge(start, read)
				}
				b.ReportMetric(float64(heap()-before)/1e6, "MB")
				b.ReportMetric(float64(len(c.Snapshot(start)))/1e6, "snapshot-MB")
			}
			runtime.KeepAlive(parts)
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
