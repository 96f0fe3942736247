package xds

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// shop is the mesh configuration of the reference fleet.
func shop(t *testing.T) *mesh.Config {
	t.Helper()
	l := spec.Load("../../hosts/shop", spec.Options{})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	lock, found := spec.ReadLock(l.Dir)
	if found.HasErrors() {
		t.Fatal(found)
	}
	roots, err := os.ReadFile("testdata/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	c, err := compile.Mesh(l.Fleet, lock, &compile.CA{
		Roots: string(roots), Fingerprint: strings.Repeat("3fa9c1d2", 8), Authorities: spec.ProposeAuthorities(l.Fleet)[:1],
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// factsOf are those that a host of a configuration has when all of it runs there.
func factsOf(t *testing.T, c *mesh.Config, host string) *hostfacts.Facts {
	t.Helper()
	roots, err := os.ReadFile("testdata/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	f := &hostfacts.Facts{Host: host, Mesh: &hostfacts.Mesh{Roots: string(roots)}}
	port := 20000
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		for _, v := range s.Versions {
			if !slices.Contains(v.Hosts, host) {
				continue
			}
			in := hostfacts.Instance{Service: name, Version: v.Name, Unit: name + ".service", User: "nm-" + name, UID: 30000}
			for _, l := range s.Listens {
				port++
				in.Listens = append(in.Listens, hostfacts.Listen{Name: l.Name, Protocol: l.Protocol, Address: "127.0.0.1", Port: port})
			}
			f.Instances = append(f.Instances, in)
		}
		if s.RunsOn(host) {
			for _, edge := range slices.Sorted(maps.Keys(c.Edges[name])) {
				upstream, listen := mesh.SplitEdgeName(edge)
				f.Edges = append(f.Edges, hostfacts.Edge{
					Caller: name, Upstream: upstream, Listen: listen, Address: "127.64.0.1", Ports: []int{80}, EdgePort: 15900 + len(f.Edges),
				})
			}
		}
	}
	return f
}

// wholeInput is what a host of a configuration builds from when all is well.
func wholeInput(t *testing.T, c *mesh.Config, host string) *Input {
	t.Helper()
	return &Input{
		Host: host, Config: c, Facts: factsOf(t, c, host),
		Leaf: func(name string) (Leaf, bool) {
			return Leaf{Chain: []byte("chain of " + name), Key: []byte("the key of " + name)}, true
		},
		Endpoints: func(service string) []catalog.Endpoint {
			var list []catalog.Endpoint
			for _, v := range c.Services[service].Versions {
				for _, host := range v.Hosts {
					list = append(list, catalog.Endpoint{Service: service, Version: v.Name, Host: host, Address: c.Hosts[host].Address, Port: MeshPort, Zone: c.Hosts[host].Zone, State: catalog.StateHealthy, Ready: 1, Copies: 1})
				}
			}
			return list
		},
		Split: func(string) map[string]mesh.Percent { return nil },
		File:  func(path string) ([]byte, error) { return nil, errors.New("no file in this test") },
	}
}

// TestShop has Envoy judge each host of the reference fleet. Built again, from the
// same facts in another order, each gives the same bytes, and no word of a key is in
// what is said about it.
func TestShop(t *testing.T) {
	c := shop(t)
	for _, host := range slices.Sorted(maps.Keys(c.Hosts)) {
		t.Run(host, func(t *testing.T) {
			in := wholeInput(t, c, host)
			out := Build(in)
			validate(t, out)
			rand.Shuffle(len(in.Facts.Instances), func(i, j int) {
				in.Facts.Instances[i], in.Facts.Instances[j] = in.Facts.Instances[j], in.Facts.Instances[i]
			})
			again, err := mesh.Parse(c.Canonical())
			if err != nil {
				t.Fatal(err)
			}
			in.Config = again
			same(t, out, Build(in))
			for _, p := range out.Problems {
				if strings.Contains(p.Text, "the key of") {
					t.Errorf("it tells a key: %s", p.Text)
				}
			}
			static, err := Static(out)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(static, []byte("dGhlIGtleSBvZ")) { // "the key o" in base64
				t.Error("what Envoy is shown has a key in it")
			}
		})
	}
}

func same(t *testing.T, a, b *Output) {
	t.Helper()
	if len(a.Resources) != len(b.Resources) {
		t.Fatalf("%d resources, then %d", len(a.Resources), len(b.Resources))
	}
	for i, r := range a.Resources {
		if o := b.Resources[i]; r.Key != o.Key || r.Version != o.Version || !bytes.Equal(r.Body, o.Body) || !slices.Equal(r.Needs, o.Needs) {
			t.Errorf("%s is %s %v, then %s %s %v", r.Name, r.Version, r.Needs, o.Name, o.Version, o.Needs)
		}
	}
}

// TestSecretIsNotTold has a secret that is not valid told without its contents.
func TestSecretIsNotTold(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1"), mesh.Listen{Protocol: "http"})})
	in := input(t, c)
	in.Leaf = func(string) (Leaf, bool) { return Leaf{Chain: []byte("chain"), Key: nil}, true }
	for _, p := range Build(in).Problems {
		if strings.Contains(p.Text, "chain") {
			t.Errorf("it tells %q", p.Text)
		}
	}
}
