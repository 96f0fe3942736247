package xds

import (
	"fmt"
	"testing"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// fleet has 1,000 services with 50 endpoints each. On this host run 20 of them, which
// call 50 each; every one of the 20 calls the service s0.
func fleet(tb testing.TB) *Input {
	hosts := map[string]*mesh.Host{}
	var names mesh.Names
	for i := range 100 {
		name := fmt.Sprintf("h%d", i)
		names = append(names, name)
		hosts[name] = &mesh.Host{Address: fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250), Zone: fmt.Sprintf("eu/%d", i%3)}
	}
	services := map[string]*mesh.Service{}
	all := map[string][]catalog.Endpoint{}
	c := meshOf(services)
	c.Hosts = hosts
	c.CA.Authorities = names[:1]
	for i := range 1000 {
		name := fmt.Sprintf("s%d", i)
		services[name] = service([]mesh.Version{{Hosts: names[:50]}}, mesh.Listen{Protocol: "http"})
		all[name] = up(c, name)
	}
	in := &Input{Host: "h0", Config: c, Facts: &hostfacts.Facts{Mesh: &hostfacts.Mesh{}}, Endpoints: func(service string) []catalog.Endpoint { return all[service] }}
	for i := range 20 {
		caller := fmt.Sprintf("s%d", 980+i)
		edges := []string{"s0"}
		for j := range 49 {
			edges = append(edges, fmt.Sprintf("s%d", 1+(i*49+j)%900))
		}
		calls(c, caller, edges...)
		for _, edge := range edges {
			c.Edges[caller][edge].Failover.Zones = true
		}
		calling(in, caller, edges...)
	}
	if err := c.Validate(); err != nil {
		tb.Fatal(err)
	}
	return in
}

// What a change of one endpoint costs: 1 ms is the goal, until the bytes are ready
// to be sent.
func BenchmarkAssignments(b *testing.B) {
	in := fleet(b)
	for name, callers := range map[string]int{"s0": 20, "s1": 0} {
		if n := len(Assignments(in, name).Resources); callers > 0 && n != callers {
			b.Fatalf("%s has %d callers here, want %d", name, n, callers)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Assignments(in, name)
			}
		})
	}
}

// What a change of the configuration costs.
func BenchmarkBuild(b *testing.B) {
	in := fleet(b)
	b.ReportAllocs()
	for b.Loop() {
		if out := Build(in); len(out.Resources) < 1000 {
			b.Fatalf("%d resources, %v", len(out.Resources), out.Problems)
		}
	}
}
