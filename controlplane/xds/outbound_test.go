package xds

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// calling lets callers of app1 use edges, each by a port of its own.
func calling(in *Input, caller string, edges ...string) {
	for _, edge := range edges {
		upstream, listen := mesh.SplitEdgeName(edge)
		in.Facts.Edges = append(in.Facts.Edges, hostfacts.Edge{
			Caller: caller, User: "nm-" + caller, UID: 30000, Upstream: upstream, Listen: listen,
			Address: "127.64.0.1", Ports: []int{80}, EdgePort: 15900 + len(in.Facts.Edges),
		})
	}
}

// up are healthy endpoints of a service, one copy each, wherever it is placed.
func up(c *mesh.Config, service string) []catalog.Endpoint {
	var list []catalog.Endpoint
	for _, v := range c.Services[service].Versions {
		for _, host := range v.Hosts {
			list = append(list, catalog.Endpoint{
				Service: service, Version: v.Name, Host: host, Address: c.Hosts[host].Address, Port: MeshPort, Zone: c.Hosts[host].Zone,
				State: catalog.StateHealthy, Ready: 1, Copies: 1,
			})
		}
	}
	return list
}

// outboundInput is what app1 builds from where everything runs and is well.
func outboundInput(t *testing.T, c *mesh.Config) *Input {
	in := input(t, c)
	in.Endpoints = func(service string) []catalog.Endpoint { return up(c, service) }
	return in
}

var outboundOnly = only("Listener out:*", "Cluster u:*", "Cluster f:*", "ClusterLoadAssignment e:*", "RouteConfiguration r:*", "Secret ext*")

func versions(names ...string) []mesh.Version {
	var list []mesh.Version
	for _, name := range names {
		list = append(list, mesh.Version{Name: name, Hosts: mesh.Names{"app1", "app2"}})
	}
	return list
}

func TestOutboundHTTP(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "api": service(on("app1", "app2"), mesh.Listen{Protocol: "http"})})
	calls(c, "web", "api")
	in := outboundInput(t, c)
	calling(in, "web", "api")
	golden(t, "outbound_http", Build(in), outboundOnly)
}

// A copy each, several, ill, on the way out: what callers are told of endpoints.
func TestOutboundTCP(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{"worker": service(on("app1")), "postgres": service(on("app1", "app2"), mesh.Listen{Protocol: "tcp"})})
	c.Telemetry.AccessLog = "all"
	calls(c, "worker", "postgres")
	c.Edges["worker"]["postgres"].Retry = &mesh.Retry{Attempts: 2, On: mesh.Names{"connect"}, Backoff: mesh.Duration(25 * time.Millisecond), Budget: 20}
	in := input(t, c)
	calling(in, "worker", "postgres")
	in.Endpoints = func(string) []catalog.Endpoint {
		list := slices.Repeat(up(c, "postgres"), 3)
		for i := range list {
			list[i].Address = fmt.Sprintf("10.0.0.%d", 60+i)
		}
		list[0].Ready, list[0].Copies = 2, 4
		list[1].State, list[1].Ready, list[1].Copies = catalog.StateUnhealthy, 0, 4
		list[2].State, list[2].Ready = catalog.StateDraining, 0
		list[3].State = catalog.StateDegraded
		list[4].Address = "fd00::31"
		return list[:5]
	}
	golden(t, "outbound_tcp", Build(in), outboundOnly)
}

// Shares of requests are in the routes, a cluster has one version, and who got a
// version keeps it.
func TestOutboundVersionsHTTP(t *testing.T) {
	api := service(versions("v1", "v2"), mesh.Listen{Name: "public", Protocol: "http"}, mesh.Listen{Name: "admin", Protocol: "grpc"})
	api.Split = map[string]mesh.Percent{"v1": 66.7, "v2": 33.3}
	api.Sticky = "version"
	api.Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/new/"}}, To: "v2"}}
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "api": api})
	calls(c, "web", "api:public", "api:admin")
	in := outboundInput(t, c)
	calling(in, "web", "api:public", "api:admin")
	golden(t, "outbound_versions_http", Build(in), only("ClusterLoadAssignment *", "RouteConfiguration *"))
}

// Shares of connections are in the endpoints, which name their version: the
// listener never hears of them.
func TestOutboundVersionsTCP(t *testing.T) {
	db := service([]mesh.Version{{Name: "v1", Hosts: mesh.Names{"app1", "app2"}}, {Name: "v2", Hosts: mesh.Names{"app2"}}, {Name: "v3", Hosts: mesh.Names{"app2"}}},
		mesh.Listen{Protocol: "tcp"})
	db.Split = map[string]mesh.Percent{"v1": 90, "v2": 10}
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "db": db})
	calls(c, "web", "db")
	c.Hosts["app1"].Zone, c.Hosts["app2"].Zone = "a", "b"
	c.Edges["web"]["db"].Failover.Zones = true
	in := outboundInput(t, c)
	calling(in, "web", "db")
	golden(t, "outbound_versions_tcp", Build(in), outboundOnly)

	before := Build(in)
	in.Split = func(string) map[string]mesh.Percent { return map[string]mesh.Percent{"v3": 100} }
	after := Build(in)
	if changed := changedBetween(before, after); !slices.Equal(changed, []string{"e:web:db"}) {
		t.Errorf("a shift changes %v", changed)
	}
}

// A shift of requests changes routes only.
func TestOutboundShift(t *testing.T) {
	api := service(versions("v1", "v2"), mesh.Listen{Protocol: "http"})
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "api": api})
	calls(c, "web", "api")
	in := outboundInput(t, c)
	calling(in, "web", "api")
	before := Build(in)
	for _, split := range []map[string]mesh.Percent{{"v1": 75, "v2": 25}, {"v2": 100}} {
		in.Split = func(string) map[string]mesh.Percent { return split }
		if changed := changedBetween(before, Build(in)); !slices.Equal(changed, []string{"r:web:api"}) {
			t.Errorf("a shift to %v changes %v", split, changed)
		}
	}
	in.Split = func(string) map[string]mesh.Percent { return map[string]mesh.Percent{"gone": 100} }
	if changed := changedBetween(before, Build(in)); len(changed) > 0 {
		t.Errorf("a shift to a version that is gone changes %v", changed)
	}
}

func changedBetween(before, after *Output) []string {
	was := map[Key]string{}
	for _, r := range before.Resources {
		was[r.Key] = r.Version
	}
	var changed []string
	for _, r := range after.Resources {
		if was[r.Key] != r.Version {
			changed = append(changed, r.Name)
		}
		delete(was, r.Key)
	}
	for k := range was {
		changed = append(changed, "-"+k.Name)
	}
	return changed
}

// How callers pick endpoints, and what stops them.
func TestOutboundPolicies(t *testing.T) {
	services := map[string]*mesh.Service{"web": service(on("app1"))}
	names := []string{"least", "robin", "random", "ring", "maglev", "source"}
	for _, name := range names {
		services[name] = service(on("app2"), mesh.Listen{Protocol: "http2"})
	}
	services["tcp"] = service(on("app2"), mesh.Listen{Protocol: "tcp"})
	c := meshOf(services)
	calls(c, "web", append(names, "tcp")...)
	e := c.Edges["web"]
	e["least"].SlowStart, e["least"].Panic = seconds(30), 25
	e["robin"].LB, e["robin"].SlowStart, e["robin"].Outlier.Errors = "round_robin", seconds(5), 0
	e["random"].LB, e["random"].Circuit = "random", mesh.Circuit{Connections: 1, Pending: 2, Requests: 3, Retries: 4}
	e["random"].Retry = &mesh.Retry{Attempts: 1, On: mesh.Names{"5xx"}, Backoff: seconds(1), Budget: 12.5}
	e["ring"].LB, e["ring"].Hash = "ring_hash", "header:x-user"
	e["ring"].Retry = &mesh.Retry{Attempts: 1, On: mesh.Names{"reset", "connect", "503", "429", "unavailable", "refused", "gateway"}, PerTry: new(seconds(1)), Backoff: seconds(1), Budget: 0, Hedge: true}
	e["maglev"].LB, e["maglev"].Hash = "maglev", "cookie:user"
	e["source"].LB, e["source"].Hash = "maglev", "source"
	e["tcp"].LB, e["tcp"].Hash = "ring_hash", "source"
	in := outboundInput(t, c)
	calling(in, "web", append(names, "tcp")...)
	golden(t, "outbound_policies", Build(in), only("Cluster u:*", "ClusterLoadAssignment e:web:source", "ClusterLoadAssignment e:web:tcp", "RouteConfiguration *", "Listener out:web:tcp"))
}

// Near endpoints first, without gaps between the levels; then others' services.
func TestOutboundFailover(t *testing.T) {
	spare := service(versions("v1", "v2"), mesh.Listen{Protocol: "grpc"})
	spare.Split = map[string]mesh.Percent{"v1": 10, "v2": 90}
	c := meshOf(map[string]*mesh.Service{
		"web": service(on("app1")), "api": service(on("app1", "app2", "app3", "app4", "app5"), mesh.Listen{Protocol: "http"}), "spare": spare,
		"db": service(on("app3", "app5"), mesh.Listen{Protocol: "tcp"}), "db2": service(on("app1"), mesh.Listen{Protocol: "redis"}),
	})
	for i, zone := range []string{"eu/a", "eu/b", "us/a", "", "eu/a"} {
		c.Hosts[fmt.Sprintf("app%d", i+1)] = &mesh.Host{Address: fmt.Sprintf("10.0.0.%d", 21+i), Zone: zone}
	}
	calls(c, "web", "api", "spare", "db", "db2")
	e := c.Edges["web"]
	for _, edge := range e {
		edge.Failover.Zones = true
	}
	e["api"].Failover.To = []string{"spare", "db"} // the last one is not HTTP
	e["db"].Failover.To, e["db"].Failover.Threshold = []string{"db2"}, 0
	in := outboundInput(t, c)
	calling(in, "web", "api", "db")
	golden(t, "outbound_failover", Build(in), only("Cluster f:*", "ClusterLoadAssignment *", "RouteConfiguration *", "Listener out:web:db"))
}

// What only one of the host and the configuration has is pending, and no problem.
func TestOutboundPending(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "api": service(on("app2"), mesh.Listen{Protocol: "http"}), "new": service(on("app2"), mesh.Listen{Protocol: "http"})})
	calls(c, "web", "api", "new")
	in := outboundInput(t, c)
	calling(in, "web", "api", "old", "api:admin")
	calling(in, "gone", "api")
	out := Build(in)
	if len(out.Problems) > 0 {
		t.Errorf("problems: %v", out.Problems)
	}
	var names []string
	for _, r := range out.Resources {
		if outboundOnly(r.Key) {
			names = append(names, r.Name)
		}
	}
	if want := []string{"u:web:api", "e:web:api", "out:web:api", "r:web:api"}; !slices.Equal(names, want) {
		t.Errorf("built %v, want %v", names, want)
	}
}

// An endpoint's change touches the assignments of its callers on this host, and
// those that fail over to it.
func TestAssignmentsOfOneService(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{
		"web": service(on("app1")), "shop": service(on("app1")), "api": service(versions("v1", "v2"), mesh.Listen{Protocol: "http"}),
		"db": service(on("app2"), mesh.Listen{Protocol: "tcp"}),
	})
	c.Gateways = map[string]*mesh.Gateway{"edge": {Hosts: mesh.Names{"app1"}, MaxHeaders: 1 << 16, ClientTimeout: seconds(1), Connections: 1}}
	calls(c, "web", "api", "db")
	calls(c, "shop", "api", "db")
	calls(c, "edge", "api")
	c.Edges["shop"]["db"].Failover.To = []string{"api"}
	in := outboundInput(t, c)
	calling(in, "web", "api", "db")
	calling(in, "shop", "db")
	all := map[Key]string{}
	for _, r := range Build(in).Resources {
		all[r.Key] = r.Version
	}
	var names []string
	for _, r := range Assignments(in, "api").Resources {
		names = append(names, r.Name)
		if all[r.Key] != r.Version {
			t.Errorf("%s is not what Build gives", r.Name)
		}
	}
	want := []string{"e:edge:api@v1", "e:edge:api@v2", "e:shop:api@v1", "e:shop:api@v2", "e:web:api@v1", "e:web:api@v2"}
	if !slices.Equal(names, want) {
		t.Errorf("built %v, want %v", names, want)
	}
}

// Who has no certificate is told of nobody, whoever else is: a call of his would fail,
// and be held against the callee.
func TestAssignmentsWithoutACertificate(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "shop": service(on("app1")), "api": service(on("app2"), mesh.Listen{Protocol: "http"})})
	calls(c, "web", "api")
	calls(c, "shop", "api")
	in := outboundInput(t, c)
	calling(in, "web", "api")
	calling(in, "shop", "api")
	in.Leaf = func(name string) (Leaf, bool) { return Leaf{}, name == "shop" }
	told := map[string]int{}
	for _, r := range Assignments(in, "api").Resources {
		told[r.Name] = len(r.Endpoints())
	}
	if want := map[string]int{"e:web:api": 0, "e:shop:api": 1}; !maps.Equal(told, want) {
		t.Errorf("told of %v, want %v", told, want)
	}
}

func TestOutboundExternals(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1"))})
	external := func(protocol, tls string, hosts ...mesh.Endpoint) *mesh.External {
		return &mesh.External{Protocol: protocol, TLS: tls, Hosts: hosts}
	}
	c.Externals = map[string]*mesh.External{
		"stripe": external("http", "originate", mesh.Endpoint{Host: "api.stripe.com", Port: 443}, mesh.Endpoint{Host: "192.0.2.7", Port: 443}),
		"plain":  external("http2", "off", mesh.Endpoint{Host: "192.0.2.8", Port: 8080}),
		"grpc":   external("grpc", "originate", mesh.Endpoint{Host: "fd00::9", Port: 8443}),
		"opaque": external("http", "passthrough", mesh.Endpoint{Host: "login.example", Port: 443}),
		"redis":  external("redis", "originate", mesh.Endpoint{Host: "cache.example", Port: 6380}),
		"wild":   external("http", "passthrough", mesh.Endpoint{Host: "*.example", Port: 443}),
		"later":  external("http", "originate", mesh.Endpoint{Host: "later.example", Port: 443}),
	}
	c.Externals["stripe"].CA = "system"
	c.Externals["redis"].CA, c.Externals["redis"].Cert, c.Externals["redis"].ServerName = "certs/roots.pem", "certs/client.pem", "redis.example"
	c.Externals["later"].CA = "certs/later.pem"
	names := []string{"grpc", "later", "opaque", "plain", "redis", "stripe", "wild"}
	calls(c, "web", names...)
	in := outboundInput(t, c)
	calling(in, "web", names...)
	in.Facts.Mesh.Externals = []hostfacts.External{
		{Name: "grpc", CA: "testdata/root.pem"},
		{Name: "redis", CA: "testdata/root.pem", Chain: "/run/x/chain", Key: "/run/x/key"},
	}
	in.File = func(path string) ([]byte, error) {
		if path == "testdata/root.pem" {
			return os.ReadFile(path)
		}
		return []byte("of " + path), nil
	}
	golden(t, "outbound_externals", Build(in), outboundOnly)
}
