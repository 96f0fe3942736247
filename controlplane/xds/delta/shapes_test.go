package delta

import (
	"testing"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	route "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	inspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// shapes makes resources by hand.
type shapes struct{ t *testing.T }

func (s shapes) resource(t xds.Type, name string, m xds.Message, needs ...xds.Key) *xds.Resource {
	s.t.Helper()
	r, err := xds.NewResource(t, name, m, xds.About{Service: name}, needs...)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// fetchTimeout is how long Envoy waits for what it needs.
const fetchTimeout = time.Minute

func ads(timeout time.Duration) *core.ConfigSource {
	return &core.ConfigSource{
		ResourceApiVersion: core.ApiVersion_V3, InitialFetchTimeout: durationpb.New(timeout),
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
	}
}

func address(port int) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// cluster is one whose endpoints are in an assignment of its name. The wait for it
// is so long that no test passes by its end.
func (s shapes) cluster(name string, connect time.Duration) *xds.Resource {
	return s.resource(xds.Cluster, name, &cluster.Cluster{
		Name: name, ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_EDS}, ConnectTimeout: durationpb.New(connect),
		EdsClusterConfig: &cluster.Cluster_EdsClusterConfig{EdsConfig: ads(fetchTimeout), ServiceName: "e:" + name},
	}, xds.Key{Type: xds.Assignment, Name: "e:" + name})
}

func (s shapes) assignment(name string, ports ...int) *xds.Resource {
	m := &endpoint.ClusterLoadAssignment{ClusterName: "e:" + name, Endpoints: []*endpoint.LocalityLbEndpoints{{}}}
	for _, port := range ports {
		m.Endpoints[0].LbEndpoints = append(m.Endpoints[0].LbEndpoints, &endpoint.LbEndpoint{
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: address(port)}},
		})
	}
	return s.resource(xds.Assignment, "e:"+name, m)
}

// routes sends all paths to a cluster. A pattern that is no regular expression is
// taken by the check of the message, and not by Envoy.
func (s shapes) routes(name, to, pattern string) *xds.Resource {
	match := &route.RouteMatch{PathSpecifier: &route.RouteMatch_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: pattern}}}
	return s.resource(xds.Route, name, &route.RouteConfiguration{Name: name, VirtualHosts: []*route.VirtualHost{{
		Name: "all", Domains: []string{"*"},
		Routes: []*route.Route{{Match: match, Action: &route.Route_Route{Route: &route.RouteAction{
			ClusterSpecifier: &route.RouteAction_Cluster{Cluster: to},
		}}}},
	}}}, xds.Key{Type: xds.Cluster, Name: to})
}

func (s shapes) listener(name string, port int, filter xds.Message, needs ...xds.Key) *xds.Resource {
	return s.resource(xds.Listener, name, &listener.Listener{Name: name, Address: address(port), FilterChains: []*listener.FilterChain{{
		Filters: []*listener.Filter{{Name: "only", ConfigType: &listener.Filter_TypedConfig{TypedConfig: xds.Any(filter)}}},
	}}}, needs...)
}

// http listens for HTTP, with routes that come by name.
func (s shapes) http(name string, port int, routes string) *xds.Resource {
	return s.listener(name, port, &hcm.HttpConnectionManager{
		StatPrefix: name,
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{
			RouteConfigName: routes, ConfigSource: ads(fetchTimeout),
		}},
		HttpFilters: []*hcm.HttpFilter{{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: xds.Any(&router.Router{})}}},
	}, xds.Key{Type: xds.Route, Name: routes})
}

// filtered is http behind a filter that comes by name. Until then another stands there.
func (s shapes) filtered(name string, port int, routes, filter string, until xds.Message) *xds.Resource {
	config := xds.Any(until)
	return s.listener(name, port, &hcm.HttpConnectionManager{
		StatPrefix: name,
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{
			RouteConfigName: routes, ConfigSource: ads(fetchTimeout),
		}},
		HttpFilters: []*hcm.HttpFilter{
			{Name: filter, ConfigType: &hcm.HttpFilter_ConfigDiscovery{ConfigDiscovery: &core.ExtensionConfigSource{
				ConfigSource: ads(fetchTimeout), TypeUrls: []string{config.GetTypeUrl()}, DefaultConfig: config,
			}}},
			{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: xds.Any(&router.Router{})}},
		},
	}, xds.Key{Type: xds.Route, Name: routes}, xds.Key{Type: xds.Extension, Name: filter})
}

func (s shapes) tcp(name string, port int, to string) *xds.Resource {
	return s.listener(name, port, &tcp.TcpProxy{
		StatPrefix: name, ClusterSpecifier: &tcp.TcpProxy_Cluster{Cluster: to},
	}, xds.Key{Type: xds.Cluster, Name: to})
}

// broken is a listener that Envoy does not take: its routes are no regular expression.
func (s shapes) broken(name string, port int) *xds.Resource {
	return s.listener(name, port, &hcm.HttpConnectionManager{
		StatPrefix: name,
		RouteSpecifier: &hcm.HttpConnectionManager_RouteConfig{RouteConfig: &route.RouteConfiguration{VirtualHosts: []*route.VirtualHost{{
			Name: "all", Domains: []string{"*"}, Routes: []*route.Route{{
				Match:  &route.RouteMatch{PathSpecifier: &route.RouteMatch_SafeRegex{SafeRegex: &matcher.RegexMatcher{Regex: "("}}},
				Action: &route.Route_DirectResponse{DirectResponse: &route.DirectResponseAction{Status: 200}},
			}},
		}}}},
		HttpFilters: []*hcm.HttpFilter{{Name: "router", ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: xds.Any(&router.Router{})}}},
	})
}

// tlsInspector reads the server name.
func tlsInspector() *listener.ListenerFilter {
	return &listener.ListenerFilter{Name: "tls", ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: xds.Any(&inspector.TlsInspector{})}}
}
