package compile_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// largeFleet has services on ten hosts each, with five upstreams, two routes
// and an allow.
func largeFleet(services, hosts int) *spec.Fleet {
	f := &spec.Fleet{Name: "large", Domain: "mesh", Authorization: mesh.Declared,
		CA: spec.CA{LeafTTL: 72 * time.Hour, IntermediateTTL: 8760 * time.Hour}, Telemetry: spec.Telemetry{AccessLog: "errors"}}
	host := func(i int) string { return fmt.Sprintf("host%03d", i%hosts) }
	name := func(i int) string { return fmt.Sprintf("service%04d", i%services) }
	for i := range hosts {
		f.Hosts = append(f.Hosts, &spec.Host{Name: host(i), Address: fmt.Sprintf("10.0.%d.%d", i/250, 1+i%250), Zone: fmt.Sprintf("eu/rack%d", i%8)})
	}
	for i := range services {
		s := &spec.Service{Name: name(i), Instances: 1, MTLS: "strict", Listens: []*spec.Listen{{Protocol: "http"}}}
		for k := range 10 {
			s.On = append(s.On, host(i*7+k))
		}
		for k := range 5 {
			timeout := time.Duration(k+1) * time.Second
			s.Upstreams = append(s.Upstreams, &spec.Upstream{
				Name: name(i + 1 + k*k), Timeout: &timeout, ConnectTimeout: time.Second, LB: "least_request",
				Outlier:  spec.Outlier{Errors: 5, Every: 10 * time.Second, Eject: 30 * time.Second, Max: 50},
				Circuit:  spec.Circuit{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
				Failover: spec.Failover{Zones: true, Threshold: 70},
			})
		}
		s.Routes = []*spec.Route{{Path: spec.Path{Kind: "prefix", Text: "/reports/"}}, {Path: spec.Path{Kind: "exact", Text: "/healthz"}}}
		s.Allows = []*spec.Allow{{Caller: name(i + services - 1), Methods: []string{"GET", "POST"}}}
		f.Services = append(f.Services, s)
	}
	return f
}

// A large fleet's document stays well below what agents take.
func TestMeshOfALargeFleet(t *testing.T) {
	t.Parallel()
	c, err := compile.Mesh(largeFleet(1000, 100), &spec.Lock{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text := c.Canonical(); len(text) > mesh.MaxSize/4 {
		t.Errorf("%d bytes", len(text))
	}
}

func BenchmarkMesh(b *testing.B) {
	f, l := largeFleet(1000, 100), &spec.Lock{}
	c, err := compile.Mesh(f, l, nil)
	if err != nil {
		b.Fatal(err)
	}
	text := c.Canonical()
	b.Run("compile", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := compile.Mesh(f, l, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("canonical", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = c.Canonical()
		}
		b.ReportMetric(float64(len(text)), "bytes")
	})
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := mesh.Parse(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}
