package xds

import (
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"
)

// TestReferences has each mistake that Envoy passes over found, and the part of the
// configuration that it is about told.
func TestReferences(t *testing.T) {
	proxy := func(cluster string) *listenerv3.Filter {
		return networkFilter("envoy.filters.network.tcp_proxy", &tcpproxyv3.TcpProxy{StatPrefix: "x", ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster}})
	}
	listener := func(name string, port int, chains ...*listenerv3.FilterChain) *listenerv3.Listener {
		return &listenerv3.Listener{Name: name, Address: socketAddress("127.0.0.1", port), FilterChains: chains}
	}
	chain := func(name string, match *listenerv3.FilterChainMatch) *listenerv3.FilterChain {
		return &listenerv3.FilterChain{Name: name, FilterChainMatch: match, Filters: []*listenerv3.Filter{proxy("c")}}
	}
	known := &clusterv3.Cluster{Name: "c", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, ConnectTimeout: durationpb.New(connectTimeout)}
	resource := func(kind Type, name string, m Message, needs ...Key) *Resource {
		r, err := NewResource(kind, name, m, About{Service: "web"}, needs...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	tests := map[string]struct {
		resources []*Resource
		want      string
	}{
		"all is well": {[]*Resource{
			resource(Listener, "l", listener("l", 80, chain("a", &listenerv3.FilterChainMatch{ServerNames: []string{"a", "b"}}), chain("b", &listenerv3.FilterChainMatch{ServerNames: []string{"c"}}))),
			resource(Listener, "m", listener("m", 81, chain("a", nil))),
		}, ""},
		"cluster of tcp_proxy": {[]*Resource{resource(Listener, "l", listener("l", 80, &listenerv3.FilterChain{Filters: []*listenerv3.Filter{proxy("lost")}}))}, "l: it names lost, which is not there"},
		"cluster of a route": {[]*Resource{resource(Route, "r", &routev3.RouteConfiguration{Name: "r", VirtualHosts: []*routev3.VirtualHost{{Name: "v", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: "lost"}}},
		}}}}})}, "r: it names lost, which is not there"},
		"need":         {[]*Resource{resource(Cluster, "d", &clusterv3.Cluster{Name: "d"}, Key{Assignment, "e:lost"})}, "d: it names e:lost, which is not there"},
		"secret":       {[]*Resource{resource(Cluster, "d", &clusterv3.Cluster{Name: "d"}, Key{Secret, "svc:web"})}, ""},
		"same address": {[]*Resource{resource(Listener, "l", listener("l", 80, chain("a", nil))), resource(Listener, "m", listener("m", 80, chain("a", nil)))}, "m: 127.0.0.1 port 80 is l's"},
		"same chains":  {[]*Resource{resource(Listener, "l", listener("l", 80, chain("a", &listenerv3.FilterChainMatch{ServerNames: []string{"a", "b"}}), chain("b", &listenerv3.FilterChainMatch{ServerNames: []string{"b"}})))}, `l: chains "a" and "b" take the same connections`},
		"priority":     {[]*Resource{resource(Assignment, "e", &endpointv3.ClusterLoadAssignment{ClusterName: "e", Endpoints: []*endpointv3.LocalityLbEndpoints{{Priority: 0}, {Priority: 2}}})}, "e: it has endpoints of priority 2 and none of 1"},
		"host name":    {[]*Resource{resource(Route, "r", &routev3.RouteConfiguration{Name: "r", VirtualHosts: []*routev3.VirtualHost{{Name: "v", Domains: []string{"a"}}, {Name: "w", Domains: []string{"b", "a"}}}})}, `r: v and w are both for "a"`},
		"packed wrongly": {[]*Resource{resource(Listener, "l", listener("l", 80, &listenerv3.FilterChain{Filters: []*listenerv3.Filter{networkFilter("envoy.filters.network.tcp_proxy", &tcpproxyv3.TcpProxy{
			StatPrefix: "", ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: "c"},
		})}}))}, "StatPrefix"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := References(&Output{Resources: append(test.resources, resource(Cluster, "c", known))})
			switch {
			case test.want == "" && len(got) == 0:
			case test.want == "" || len(got) != 1 || !strings.Contains(got[0].Text, test.want) || got[0].About.Service != "web" || got[0].Level != Missing:
				t.Errorf("got %+v, want %q", got, test.want)
			}
		})
	}
}
