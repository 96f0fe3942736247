package xds

import (
	"os"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

const testDomain = "shop-3fa9c1d2.nixmesh"

func seconds(n int) mesh.Duration { return mesh.Duration(time.Duration(n) * time.Second) }

// meshOf is a valid configuration of two hosts with these services.
func meshOf(services map[string]*mesh.Service) *mesh.Config {
	return &mesh.Config{
		Schema: mesh.Schema, Fleet: "shop", Domain: "mesh", TrustDomain: testDomain, Authorization: mesh.Declared,
		CA:        mesh.CA{LeafTTL: seconds(72 * 3600), IntermediateTTL: seconds(365 * 86400), Authorities: mesh.Names{"app1"}},
		Telemetry: mesh.Telemetry{AccessLog: "errors"},
		Defaults: map[string]mesh.Defaults{
			"http": {Timeout: seconds(15), IdleTimeout: seconds(300)}, "http2": {Timeout: seconds(15), IdleTimeout: seconds(300)},
			"grpc": {IdleTimeout: seconds(300)}, "tcp": {IdleTimeout: seconds(3600)}, "redis": {IdleTimeout: seconds(3600)},
			mesh.Upgraded: {IdleTimeout: seconds(3600)},
		},
		Hosts:    map[string]*mesh.Host{"app1": {Address: "10.0.0.21"}, "app2": {Address: "10.0.0.22"}},
		Services: services,
		Edges:    map[string]map[string]*mesh.Edge{},
	}
}

func service(versions []mesh.Version, listens ...mesh.Listen) *mesh.Service {
	return &mesh.Service{Listens: listens, Versions: versions, Instances: 1, MTLS: "strict"}
}

func on(hosts ...string) []mesh.Version { return []mesh.Version{{Hosts: hosts}} }

func calls(c *mesh.Config, caller string, edges ...string) {
	if c.Edges[caller] == nil {
		c.Edges[caller] = map[string]*mesh.Edge{}
	}
	for _, edge := range edges {
		c.Edges[caller][edge] = &mesh.Edge{
			ConnectTimeout: seconds(1), LB: "least_request",
			Outlier:  mesh.Outlier{Errors: 5, Every: seconds(10), Eject: seconds(30), Max: 50},
			Circuit:  mesh.Circuit{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
			Failover: mesh.Failover{Threshold: 70},
		}
	}
}

// input is what the host app1 builds from. The certificates in it are words: Envoy
// gets others (see Static).
func input(t *testing.T, c *mesh.Config, instances ...hostfacts.Instance) *Input {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	roots, err := os.ReadFile("testdata/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	return &Input{
		Host: "app1", Config: c,
		Facts: &hostfacts.Facts{Host: "app1", Instances: instances, Mesh: &hostfacts.Mesh{Roots: string(roots)}},
		Leaf: func(name string) (Leaf, bool) {
			return Leaf{Chain: []byte("chain of " + name), Key: []byte("key of " + name)}, true
		},
	}
}

// runs is an instance that listens on loopback.
func runs(service, version string, listens ...hostfacts.Listen) hostfacts.Instance {
	for i := range listens {
		listens[i].Address = "127.0.0.1"
	}
	return hostfacts.Instance{Service: service, Version: version, Unit: service + ".service", User: "nm-" + service, UID: 32000, Listens: listens}
}

func namedBy(t *testing.T, r *Resource) []Key {
	t.Helper()
	m, err := r.message()
	if err != nil {
		t.Fatal(err)
	}
	var keys []Key
	if err := walk(m, func(m proto.Message) error {
		keys = append(keys, named(m)...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return keys
}
