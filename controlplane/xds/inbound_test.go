package xds

import (
	"maps"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

var inboundOnly = only("Listener in:mtls", "Cluster local:*", "TypedExtensionConfig rbac:*", "Secret *")

func TestInboundHTTP(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{
		"web": service(on("app2")),
		"api": service(on("app1"), mesh.Listen{Protocol: "http"}),
	})
	calls(c, "web", "api")
	golden(t, "inbound_http", Build(input(t, c, runs("api", "", hostfacts.Listen{Protocol: "http", Port: 20001}))), inboundOnly)
}

// Of what is offered, some speak HTTP/2, some have several listens, versions, or
// copies; what only the configuration or only the host knows is not there.
func TestInboundOffers(t *testing.T) {
	api := service([]mesh.Version{{Name: "v1", Hosts: mesh.Names{"app1"}}, {Name: "v2", Hosts: mesh.Names{"app1"}}, {Name: "v3", Hosts: mesh.Names{"app2"}}},
		mesh.Listen{Name: "public", Protocol: "http2"}, mesh.Listen{Name: "admin", Protocol: "grpc"})
	api.Split = map[string]mesh.Percent{"v1": 100}
	api.Connections = 50
	c := meshOf(map[string]*mesh.Service{
		"web": service(on("app2")), "api": api,
		"planned": service(on("app1"), mesh.Listen{Protocol: "http"}),
		"moved":   service(on("app2"), mesh.Listen{Protocol: "http"}),
		"changed": service(on("app1"), mesh.Listen{Protocol: "http"}),
	})
	calls(c, "web", "api:public", "api:admin", "planned", "moved", "changed")
	both := func(port int) []hostfacts.Listen {
		return []hostfacts.Listen{{Name: "public", Protocol: "http2", Port: port}, {Name: "admin", Protocol: "grpc", Port: port + 100}}
	}
	golden(t, "inbound_offers", Build(input(t, c,
		runs("api", "v1", both(20001)...), runs("api", "v1", both(20002)...), runs("api", "v2", both(20003)...), runs("api", "v3", both(20004)...),
		runs("moved", "", hostfacts.Listen{Protocol: "http", Port: 20005}),
		runs("changed", "", hostfacts.Listen{Protocol: "tcp", Port: 20006}),
	)), inboundOnly)
}

// A caller of TCP has a chain of its own, if it may call.
func TestInboundTCP(t *testing.T) {
	postgres := service(on("app1"), mesh.Listen{Protocol: "tcp"})
	postgres.Allows = []mesh.Allow{{Caller: "worker", Methods: mesh.Names{"GET"}}} // of HTTP: it admits no connection
	c := meshOf(map[string]*mesh.Service{"api": service(on("app2")), "cron": service(on("app2")), "worker": service(on("app2")), "postgres": postgres})
	c.Operators = map[string]*mesh.Operator{"anna": {Access: mesh.Names{"postgres"}}}
	c.Telemetry.AccessLog = "all"
	for _, caller := range []string{"api", "cron", "worker"} {
		calls(c, caller, "postgres")
	}
	golden(t, "inbound_tcp", Build(input(t, c, runs("postgres", "", hostfacts.Listen{Protocol: "tcp", Port: 5432}))), inboundOnly)
}

// Without a certificate the service is there, and waits.
func TestInboundWithoutCertificate(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "api": service(on("app1"), mesh.Listen{Protocol: "http"})})
	calls(c, "web", "api")
	in := input(t, c, runs("api", "", hostfacts.Listen{Protocol: "http", Port: 20001}))
	in.Leaf = func(name string) (Leaf, bool) { return Leaf{Chain: []byte("chain"), Key: []byte("key")}, name == "web" }
	golden(t, "inbound_waits", Build(in), only("Secret *"))
}

// Copies that are ill get no calls, unless all are.
func TestInboundIllCopies(t *testing.T) {
	c := meshOf(map[string]*mesh.Service{"web": service(on("app2")), "api": service(on("app1"), mesh.Listen{Protocol: "http"})})
	calls(c, "web", "api")
	second, first := runs("api", "", hostfacts.Listen{Protocol: "http", Port: 20001}), runs("api", "", hostfacts.Listen{Protocol: "http", Port: 20002})
	second.Unit, first.Unit = "api-2.service", "api-1.service"
	in := input(t, c, second, first)
	for name, test := range map[string]struct {
		ill  func(copy int) bool
		want map[int]string
	}{
		"none": {func(int) bool { return false }, map[int]string{20001: "HEALTHY", 20002: "HEALTHY"}},
		"one":  {func(copy int) bool { return copy == 1 }, map[int]string{20001: "HEALTHY", 20002: "UNHEALTHY"}},
		"all":  {func(int) bool { return true }, map[int]string{20001: "HEALTHY", 20002: "HEALTHY"}},
	} {
		in.Ill = func(_, _ string, copy int) bool { return test.ill(copy) }
		got := map[int]string{}
		for _, r := range Build(in).Resources {
			if r.Name != "local:api" {
				continue
			}
			m, err := r.message()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range m.(*clusterv3.Cluster).LoadAssignment.Endpoints[0].LbEndpoints {
				got[int(e.GetEndpoint().Address.GetSocketAddress().GetPortValue())] = e.HealthStatus.String()
			}
		}
		if !maps.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
