package xds

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// release is what a service and its callers look like in one release: web calls the
// first listen, tool the last one.
type release []mesh.Listen

func (r release) first() mesh.Listen { return r[0] }
func (r release) last() mesh.Listen  { return r[len(r)-1] }

func (r release) config(t *testing.T) *mesh.Config {
	t.Helper()
	c := meshOf(map[string]*mesh.Service{
		"web": service(on("web1")), "tool": service(on("web1")), "api": service(on("app1", "app2"), r...),
	})
	c.Hosts["web1"] = &mesh.Host{Address: "10.0.0.31"}
	calls(c, "web", mesh.EdgeName("api", r.first().Name))
	calls(c, "tool", mesh.EdgeName("api", r.last().Name))
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

// instance is what a host of the release runs.
func (r release) instance() hostfacts.Instance {
	var listens []hostfacts.Listen
	for i, l := range r {
		listens = append(listens, hostfacts.Listen{Name: l.Name, Protocol: l.Protocol, Port: 20001 + i})
	}
	return runs("api", "", listens...)
}

// asks is what the callers of a host of the release ask for: server names with the
// protocol inside.
func (r release) asks(t *testing.T, union *mesh.Config, caller, listen string) []string {
	t.Helper()
	in := input(t, union, runs("web", ""), runs("tool", ""))
	in.Host, in.Facts.Host = "web1", "web1"
	calling(in, caller, mesh.EdgeName("api", listen))
	var asks []string
	for _, r := range Build(in).Resources {
		if !strings.HasPrefix(r.Name, "u:") {
			continue
		}
		m, err := r.message()
		if err != nil {
			t.Fatal(err)
		}
		var tls tlsv3.UpstreamTlsContext
		if err := m.(*clusterv3.Cluster).TransportSocket.GetTypedConfig().UnmarshalTo(&tls); err != nil {
			t.Fatal(err)
		}
		asks = append(asks, tls.Sni+" "+tls.CommonTlsContext.AlpnProtocols[0])
	}
	return asks
}

// takes is what a host of the release takes, with the resources that its chain needs.
func (r release) takes(t *testing.T, union *mesh.Config) (map[string]*listenerv3.FilterChain, *Output) {
	t.Helper()
	chains := map[string]*listenerv3.FilterChain{}
	out := Build(input(t, union, r.instance()))
	for _, r := range out.Resources {
		if r.Key != Inbound() {
			continue
		}
		m, err := r.message()
		if err != nil {
			t.Fatal(err)
		}
		for _, chain := range m.(*listenerv3.Listener).FilterChains {
			for _, name := range chain.FilterChainMatch.ServerNames {
				for _, protocol := range chain.FilterChainMatch.ApplicationProtocols {
					chains[name+" "+protocol] = chain
				}
			}
		}
	}
	return chains, out
}

func listens(protocol string, names ...string) release {
	var r release
	for _, name := range names {
		r = append(r, mesh.Listen{Name: name, Protocol: protocol})
	}
	return r
}

// While some hosts run the one release and some the other, each call finds a chain on
// every host, whoever has been switched. Left out are calls of a listen that only one
// of the releases has, or lets this caller call.
func TestMixedReleasesTakeEachOthersCalls(t *testing.T) {
	families := [][]string{{"http", "http2", "grpc"}, {"tcp", "redis"}}
	forms := [][]string{{""}, {"main"}, {"main", "admin"}, {"main", "admin", "more"}}
	for _, family := range families {
		for _, p := range family {
			for _, q := range family {
				for _, from := range forms {
					for _, to := range forms {
						live, next := listens(p, from...), listens(q, to...)
						t.Run(fmt.Sprintf("%s %q to %s %q", p, from, q, to), func(t *testing.T) { mixed(t, live, next) })
					}
				}
			}
		}
	}
}

func mixed(t *testing.T, live, next release) {
	union, err := mesh.Union(live.config(t), next.config(t))
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]*listenerv3.FilterChain{}
	for _, callee := range []release{live, next} {
		takes, out := callee.takes(t, union)
		for ask, chain := range takes {
			if was := before[ask]; was != nil && !proto.Equal(was, chain) {
				t.Errorf("a switch changes the chain of %s, and so ends its connections:\n%v\n%v", ask, was, chain)
			}
		}
		before = takes
		for _, p := range out.Problems {
			t.Errorf("hosts of %v: %s", callee, p.Text)
		}
		for _, caller := range []release{live, next} {
			for name, called := range map[string]func(release) mesh.Listen{"web": release.first, "tool": release.last} {
				asked, there := called(caller), called(callee)
				same := asked.Name == there.Name || asked.Name == "" && there.Name == callee.first().Name || there.Name == "" && asked.Name == caller.first().Name
				for _, ask := range caller.asks(t, union, name, asked.Name) {
					if same && takes[ask] == nil {
						t.Errorf("%s of %v asks for %s, hosts of %v do not take it", name, caller, ask, callee)
					}
				}
			}
		}
	}
}

// What a host takes by the other name of its listen it judges as all that comes to it:
// who may not call the listen gains nothing.
func TestNamesakeIsJudgedByWhatRuns(t *testing.T) {
	for _, protocol := range []string{"http", "tcp"} {
		live, next := listens(protocol, ""), listens(protocol, "main", "admin") // tool may call admin only, afterwards
		union, err := mesh.Union(live.config(t), next.config(t))
		if err != nil {
			t.Fatal(err)
		}
		takes, out := next.takes(t, union)
		if protocol == "tcp" {
			for ask, want := range map[string]bool{
				"api.mesh nixmesh/web": true, "api.mesh nixmesh/tool": false, "l-main.api.mesh nixmesh/web": true, "l-main.api.mesh nixmesh/tool": false,
				"l-admin.api.mesh nixmesh/web": false, "l-admin.api.mesh nixmesh/tool": true,
			} {
				if got := takes[ask] != nil; got != want {
					t.Errorf("%s: taken %v, want %v", ask, got, want)
				}
			}
			continue
		}
		rules := map[string]string{}
		for _, r := range out.Resources {
			if listen, ok := strings.CutPrefix(r.Name, "rbac:"); ok {
				m, err := r.message()
				if err != nil {
					t.Fatal(err)
				}
				rules[listen] = string(m.(*corev3.TypedExtensionConfig).TypedConfig.Value)
			}
		}
		if rules["api"] != rules["api:main"] || rules["api"] == rules["api:admin"] || !strings.Contains(rules["api"], "svc/web") || strings.Contains(rules["api"], "svc/tool") {
			t.Errorf("who may call what was not named: %q, main: %q, admin: %q", rules["api"], rules["api:main"], rules["api:admin"])
		}
	}
}
