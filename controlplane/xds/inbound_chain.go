package xds

import (
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type accessLog = accesslogv3.AccessLog

// httpChain takes HTTP for an offer. The caller's proxy bounds how long a call may
// take; here nothing is bounded but what a lost peer leaves behind.
func (b *builder) httpChain(o offer) (*listenerv3.FilterChain, []Key) {
	m := httpManager("in:" + o.name())
	// The caller's own word for who he is does not count: TLS tells.
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE_SET
	m.SetCurrentClientCertDetails = &hcmv3.HttpConnectionManager_SetCurrentClientCertDetails{Uri: true}
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: localRoutes(o)}
	limits := limitsExtension(o.service, o.listen)
	m.HttpFilters = []*hcmv3.HttpFilter{
		pathFilter(), rulesFilter(o.service, o.listen), discovered(limits, &localratelimitv3.LocalRateLimit{StatPrefix: "in:" + o.name()}), router(),
	}
	m.AccessLog = b.accessLog(logged{Side: logInbound, HTTP: true, Caller: logCaller, Callee: ID(b.in.Config.TrustDomain, o.service)})
	tls, needs := b.serverTLS(o.service)
	needs = append(needs, Key{Cluster, o.cluster()}, Key{Extension, rulesExtension(o.service, o.listen)}, Key{Extension, limits})
	return &listenerv3.FilterChain{
		Name: o.name(), FilterChainMatch: b.match(o, alpnHTTP), TransportSocket: tls,
		TransportSocketConnectTimeout: durationpb.New(handshakeTimeout),
		Filters:                       []*listenerv3.Filter{managed(m)},
	}, needs
}

// localRoutes lead all requests to the copies on this host. What certainly reached
// no copy goes to another one: an application that closes an idle connection just
// as a request comes, or one that restarts.
func localRoutes(o offer) *routev3.RouteConfiguration {
	again := &routev3.RetryPolicy{
		RetryOn:    "connect-failure,reset-before-request",
		NumRetries: wrapperspb.UInt32(localTries - 1),
		RetryHostPredicate: []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: Any(&previoushostsv3.PreviousHostsPredicate{})},
		}},
		HostSelectionRetryMaxAttempts: 5,
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: durationpb.New(localRetryAfter), MaxInterval: durationpb.New(2 * localRetryAfter),
		},
	}
	return &routev3.RouteConfiguration{
		Name:             "in:" + o.name(),
		ValidateClusters: wrapperspb.Bool(false), // the cluster may come later
		VirtualHosts: []*routev3.VirtualHost{{Name: "local", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Name:  "local",
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: o.cluster()},
				Timeout:          durationpb.New(0),
				IdleTimeout:      durationpb.New(0),
				RetryPolicy:      again,
			}},
		}}}},
	}
}

// callerChain takes connections of one caller for an offer that is not HTTP.
func (b *builder) callerChain(o offer, caller string) (*listenerv3.FilterChain, []Key) {
	name := o.name() + " from " + caller
	domain := b.in.Config.TrustDomain
	proxy := &tcpproxyv3.TcpProxy{
		StatPrefix:       "in:" + o.name() + ":" + caller,
		ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: o.cluster()},
		IdleTimeout:      durationpb.New(0), // the caller's proxy has one
		// Not before it is known who calls: else anybody could open connections there.
		UpstreamConnectMode: tcpproxyv3.UpstreamConnectMode_ON_DOWNSTREAM_TLS_HANDSHAKE,
		MaxEarlyDataBytes:   wrapperspb.UInt32(0),
		MaxConnectAttempts:  wrapperspb.UInt32(localTries), // the same for any number of copies: a chain should not change
		AccessLog:           b.accessLog(logged{Side: logInbound, Caller: callerID(domain, caller), Callee: ID(domain, o.service)}),
	}
	tls, needs := b.serverTLSFrom(o.service, caller)
	return &listenerv3.FilterChain{
		Name: name, FilterChainMatch: b.match(o, saying(alpnTCP, caller)), TransportSocket: tls,
		TransportSocketConnectTimeout: durationpb.New(handshakeTimeout),
		Filters:                       []*listenerv3.Filter{networkFilter("envoy.filters.network.tcp_proxy", proxy)},
	}, append(needs, Key{Cluster, o.cluster()})
}
