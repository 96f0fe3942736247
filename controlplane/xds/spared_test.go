package xds

import (
	"slices"
	"testing"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// What this host has no certificate of is left to Envoy, which may have one; whoever
// certainly has none calls nobody.
func TestSparedCertificates(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{
		"shop": service(on("app1")), "web": service(on("app1"), mesh.Listen{Protocol: "http"}), "away": service(on("app2"), mesh.Listen{Protocol: "http"}),
	})
	calls(c, "shop", "web")
	in := input(t, c, runs("shop", ""), runs("web", "", hostfacts.Listen{Protocol: "http", Port: 20001}))
	in.Facts.Edges = []hostfacts.Edge{{Caller: "shop", Upstream: "web", Protocol: "http", EdgePort: 15901}}
	in.Leaf = func(name string) (Leaf, bool) { return Leaf{}, false }
	in.Endpoints = func(service string) []catalog.Endpoint {
		return []catalog.Endpoint{{Service: service, Host: "app1", Address: "10.0.0.21", Port: 15443, State: catalog.StateHealthy, Ready: 1, Copies: 1}}
	}
	for _, held := range []bool{false, true} {
		in.Held = func(string) bool { return held }
		out := Build(in)
		if want := []Key{Identity("shop"), Identity("web")}; !slices.Equal(out.Spared, want) {
			t.Errorf("spared: %v", out.Spared)
		}
		called, wanted := 0, map[bool]int{true: 1}[held]
		for _, r := range out.Resources {
			if r.Key == Identity("shop") {
				t.Error("a certificate from nowhere")
			}
			if r.Type == Assignment {
				called += len(r.Endpoints())
			}
		}
		if called != wanted || len(out.Problems) != 2 {
			t.Errorf("held %v: it calls %d, want %d; problems: %+v", held, called, wanted, out.Problems)
		}
	}
}
