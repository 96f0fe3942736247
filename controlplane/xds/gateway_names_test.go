package xds

import (
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/mesh"
)

// Whatever names gateways of one port have routes and certificates for: a client
// that asks for a name comes to the gateway that has routes for it, by the
// certificate that is for it, and no name leads to two chains.
func TestEveryNameComesToItsGateway(t *testing.T) {
	pool := []string{"example", "x.example", "a.x.example", "b.x.example", "c.a.x.example", "*.example", "*.x.example", "*.a.x.example", "other.test"}
	rapid.Check(t, func(rt *rapid.T) {
		config := outside(gatewayOf("", nil))
		delete(config.Gateways, "public")
		delete(config.Edges, "public")
		routed := map[string]string{} // gateway by name
		for _, name := range []string{"one", "three", "two"}[:rapid.IntRange(1, 3).Draw(rt, "gateways")] {
			g := gatewayOf("", []mesh.GatewayListen{{Protocol: "https", Port: 443}})
			if rapid.Bool().Draw(rt, name+" has its own certificate") {
				g.Certificate = &mesh.Certificate{Source: mesh.CertMeshCA}
			}
			g.TLS = map[string]*mesh.Certificate{}
			for _, host := range pool {
				if rapid.Bool().Draw(rt, name+" certificate of "+host) {
					g.TLS[host] = &mesh.Certificate{Source: mesh.CertMeshCA}
				}
				if routed[host] == "" && rapid.Bool().Draw(rt, name+" routes "+host) && (g.Certificate != nil || certificateFor(g, host) != "") {
					routed[host] = name
					g.Routes = append(g.Routes, mesh.GatewayRoute{Host: host, Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}})
				}
			}
			config.Gateways[name] = g
			calls(config, name, "web")
		}
		in := input(t, config)
		out := Build(in)
		found := find(out, Key{Listener, gatewayListenerName(443)})
		if found == nil {
			if len(routed) > 0 {
				rt.Fatal("nobody listens")
			}
			return
		}
		l := &listenerv3.Listener{}
		if err := proto.Unmarshal(found.Body, l); err != nil {
			rt.Fatal(err)
		}
		seen := map[string]bool{}
		for _, chain := range l.FilterChains {
			for _, name := range chain.FilterChainMatch.ServerNames {
				if seen[name] {
					rt.Fatalf("two chains are for %s", name)
				}
				seen[name] = true
			}
		}
		for host, gateway := range routed {
			asked := strings.Replace(host, "*", "zz", 1)
			want := gatewaySecret(gateway, certificateFor(config.Gateways[gateway], host))
			chain := chainFor(l, asked)
			if chain == nil || chain.Name != want {
				rt.Fatalf("%s leads to %s, want %s", asked, chain.GetName(), want)
			}
			if v := virtualHostFor(rt, out, chain, asked); v == nil || v.Name != host || v.Routes[0].GetDirectResponse() != nil {
				rt.Fatalf("%s by %s is answered by %v, want the routes of %s", asked, chain.Name, v, host)
			}
		}
	})
}

// matching are the names that match a name in Envoy, the nearest first.
func matching(name string) []string {
	names := []string{name}
	for rest := name; ; {
		_, parent, more := strings.Cut(rest, ".")
		if !more {
			return names
		}
		names, rest = append(names, "*."+parent), parent
	}
}

// chainFor is the chain that Envoy takes for a server name.
func chainFor(l *listenerv3.Listener, name string) *listenerv3.FilterChain {
	for _, match := range matching(name) {
		if i := slices.IndexFunc(l.FilterChains, func(c *listenerv3.FilterChain) bool {
			return slices.Contains(c.FilterChainMatch.ServerNames, match)
		}); i >= 0 {
			return l.FilterChains[i]
		}
	}
	return l.DefaultFilterChain
}

// virtualHostFor is the one that Envoy takes for a host on a chain.
func virtualHostFor(t *rapid.T, out *Output, chain *listenerv3.FilterChain, host string) *routev3.VirtualHost {
	manager := &hcmv3.HttpConnectionManager{}
	for _, filter := range chain.Filters {
		if filter.GetTypedConfig().MessageIs(manager) {
			if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
				t.Fatal(err)
			}
		}
	}
	routes := find(out, Key{Route, manager.GetRds().GetRouteConfigName()})
	if routes == nil {
		t.Fatalf("%s has no routes", chain.Name)
	}
	config := &routev3.RouteConfiguration{}
	if err := proto.Unmarshal(routes.Body, config); err != nil {
		t.Fatal(err)
	}
	for _, match := range append(matching(host), "*") {
		for _, v := range config.VirtualHosts {
			if slices.Contains(v.Domains, match) {
				return v
			}
		}
	}
	return nil
}
