package mesh_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// large has services on ten hosts each, with five edges, two routes and an
// allow.
func large(services, hosts int) *mesh.Config {
	c := shop()
	c.Hosts, c.Services, c.Edges = map[string]*mesh.Host{}, map[string]*mesh.Service{}, map[string]map[string]*mesh.Edge{}
	c.Gateways, c.Externals, c.Operators, c.CA.Authorities = nil, nil, nil, nil
	host := func(i int) string { return fmt.Sprintf("host%03d", i%hosts) }
	name := func(i int) string { return fmt.Sprintf("service%04d", i%services) }
	for i := range hosts {
		c.Hosts[host(i)] = &mesh.Host{Address: fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250), Zone: fmt.Sprintf("eu/rack%d", i%8)}
	}
	for i := range services {
		on := mesh.Names{}
		for k := range 10 {
			on = append(on, host(i*7+k))
		}
		c.Services[name(i)] = &mesh.Service{
			Listens: listen("http"), Versions: []mesh.Version{{Hosts: on}}, Instances: 1, MTLS: "strict",
			Routes: []mesh.Route{{Rule: rule("/healthz")}, {Rule: rule("/reports/")}},
			Allows: []mesh.Allow{{Caller: name(i + services - 1), Methods: mesh.Names{"GET", "POST"}}},
		}
		c.Edges[name(i)] = map[string]*mesh.Edge{}
		for k := range 5 {
			c.Edges[name(i)][name(i+1+k*k)] = edge(mesh.Patience{Timeout: seconds(k + 1)})
		}
	}
	return c
}

func BenchmarkDocument(b *testing.B) {
	config := large(1000, 100)
	live := signed(b, nil, config, "anna", "a1")
	d := signed(b, live, config, "anna", "a1")
	text := d.Canonical()
	judge := signers()
	have := live.Link()
	run := func(name string, once func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := once(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("sign", func() error { return mesh.NextDocument(live, config, "anna").Sign(signs("a1")) })
	run("hash", func() error { d.Hash(); return nil })
	run("parse", func() error { _, err := mesh.ParseDocument(text); return err })
	run("accept", func() error { _, err := judge.Accept("shop", have, d); return err })
	run("union", func() error { _, err := mesh.Union(config, config); return err })
	next := large(1001, 100)
	run("union of two", func() error { _, err := mesh.Union(config, next); return err })
	run("explain", func() error {
		_, err := config.Explain(mesh.Request{Caller: "service0001", Callee: "service0002", Path: "/reports/"})
		return err
	})
	b.Run("held", func(b *testing.B) {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		kept, err := mesh.ParseDocument(text)
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
		b.ReportMetric(float64(len(text))/(1<<20), "MiB-text")
		runtime.KeepAlive(kept)
	})
}
