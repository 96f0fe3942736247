package xds

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	earlyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/http/early_header_mutation/header_mutation/v3"
	upstreamhttpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// Bounds of every HTTP connection of the mesh that the configuration does not set.
const (
	// A hop keeps an idle connection longer than the one before it, so that it is
	// the client who closes, who knows that no request of its own is on the way.
	idleClient = 5 * time.Minute
	idleServer = time.Hour

	maxStreams    = 1024 // requests at once on one HTTP/2 connection
	streamWindow  = 256 << 10
	sessionWindow = 1 << 20

	// A peer that went away without a word is found out in pingEvery + pingWait.
	pingEvery = 30 * time.Second
	pingWait  = 5 * time.Second

	drainNotice = 5 * time.Second // between the two GOAWAYs of a connection that ends
	lingerClose = time.Second     // for an answer to arrive before its connection ends
)

// headerBound is what a hop takes of the headers of a request, or of an answer.
type headerBound struct{ kib, count uint32 }

// Each hop takes more than the one before it, for hops add headers: who sends too
// much is told so by the first one, and does nothing to the connections behind it,
// which others share. HTTP/2 in Envoy ends a connection for a single header of more
// than 64 KiB, whatever the bound of all; what hops add to one fits in between.
var (
	fromOutside     = headerBound{60, 100}
	fromApplication = headerBound{60, 150} // requests, and answers
	fromMesh        = headerBound{96, 200}
)

// on bounds the requests that a manager takes.
func (h headerBound) on(m *hcmv3.HttpConnectionManager) {
	m.MaxRequestHeadersKb = wrapperspb.UInt32(h.kib)
	m.CommonHttpProtocolOptions.MaxHeadersCount = wrapperspb.UInt32(h.count)
}

// httpManager is HTTP as all listeners of the mesh take it, from the mesh. Callers
// add routes, filters (router last), the access log, and who is trusted with what.
//
// Paths are compared in the form that mesh.Config.Allowed compares: slashes are
// decoded and merged, dots resolved. No bound of the whole request and none of an
// idle stream is here: both are the route's, at the caller's side.
func httpManager(stat string) *hcmv3.HttpConnectionManager {
	m := &hcmv3.HttpConnectionManager{
		StatPrefix: stat,
		CodecType:  hcmv3.HttpConnectionManager_AUTO,
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout: durationpb.New(idleServer),
			// To many applications "x_a" and "x-a" are one header.
			HeadersWithUnderscoresAction: corev3.HttpProtocolOptions_REJECT_REQUEST,
		},
		Http2ProtocolOptions:         http2Options(),
		StreamIdleTimeout:            durationpb.New(0),
		RequestTimeout:               durationpb.New(0),
		RequestHeadersTimeout:        durationpb.New(0),
		DrainTimeout:                 durationpb.New(drainNotice),
		DelayedCloseTimeout:          durationpb.New(lingerClose),
		ServerHeaderTransformation:   hcmv3.HttpConnectionManager_PASS_THROUGH,
		UseRemoteAddress:             wrapperspb.Bool(false),
		GenerateRequestId:            wrapperspb.Bool(true),
		PreserveExternalRequestId:    true,
		NormalizePath:                wrapperspb.Bool(true),
		MergeSlashes:                 true,
		PathWithEscapedSlashesAction: hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD,
		UpgradeConfigs:               []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket", Enabled: wrapperspb.Bool(true)}},
		EarlyHeaderMutationExtensions: []*corev3.TypedExtensionConfig{{
			Name: "envoy.http.early_header_mutation.header_mutation", TypedConfig: Any(withoutOrders()),
		}},
		// Nobody's headers are trusted for his address. Without a range, private ones
		// would be.
		InternalAddressConfig: &hcmv3.HttpConnectionManager_InternalAddressConfig{CidrRanges: []*corev3.CidrRange{{AddressPrefix: "0.0.0.0", PrefixLen: wrapperspb.UInt32(32)}}},
	}
	fromMesh.on(m)
	return m
}

// withoutOrders takes out the headers by which a client could tell Envoy other
// timeouts and retries than the configuration's.
func withoutOrders() *earlyv3.HeaderMutation {
	orders := &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: "x-envoy-"}}
	return &earlyv3.HeaderMutation{Mutations: []*mutationv3.HeaderMutation{{
		Action: &mutationv3.HeaderMutation_RemoveOnMatch_{RemoveOnMatch: &mutationv3.HeaderMutation_RemoveOnMatch{KeyMatcher: orders}},
	}}}
}

// http2Options are those of both sides. Extended CONNECT carries WebSockets.
func http2Options() *corev3.Http2ProtocolOptions {
	return &corev3.Http2ProtocolOptions{
		AllowConnect:                            true,
		OverrideStreamErrorOnInvalidHttpMessage: wrapperspb.Bool(true), // a bad message ends its request, not those beside it
		MaxConcurrentStreams:                    wrapperspb.UInt32(maxStreams),
		InitialStreamWindowSize:                 wrapperspb.UInt32(streamWindow),
		InitialConnectionWindowSize:             wrapperspb.UInt32(sessionWindow),
		ConnectionKeepalive: &corev3.KeepaliveSettings{
			Interval: durationpb.New(pingEvery),
			Timeout:  durationpb.New(pingWait),
		},
	}
}

// httpFilter is a filter of a connection manager.
func httpFilter(name string, config Message) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: Any(config)}}
}

// router is the last filter.
func router() *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.router", &routerv3.Router{
		DynamicStats:         wrapperspb.Bool(true),
		SuppressEnvoyHeaders: true, // services are told nothing of the proxies between them
	})
}

// networkFilter is a filter of a chain.
func networkFilter(name string, config Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: Any(config)}}
}

// managed is the filter of a chain that is an HTTP connection manager.
func managed(m *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return networkFilter("envoy.filters.network.http_connection_manager", m)
}

const httpProtocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// speak makes a cluster speak HTTP/2 or HTTP/1.1, and never what its client happens
// to speak. idle is after how long it closes an unused connection. Answers come from
// the mesh.
func speak(c *clusterv3.Cluster, http2 bool, idle time.Duration) {
	speakWithin(c, http2, idle, fromMesh)
}

// speakWithin is speak with a bound of the answers.
func speakWithin(c *clusterv3.Cluster, http2 bool, idle time.Duration, answers headerBound) {
	explicit := &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{HttpProtocolOptions: &corev3.Http1ProtocolOptions{}},
	}
	if http2 {
		explicit.ProtocolConfig = &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: http2Options()}
	}
	options := &upstreamhttpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			IdleTimeout:          durationpb.New(idle),
			MaxHeadersCount:      wrapperspb.UInt32(answers.count),
			MaxResponseHeadersKb: wrapperspb.UInt32(answers.kib),
		},
		UpstreamProtocolOptions: &upstreamhttpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit},
	}
	c.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpProtocolOptions: Any(options)}
}

// keepalive finds out within a minute that the other end of a connection without
// traffic is gone.
func keepalive() *corev3.TcpKeepalive {
	return &corev3.TcpKeepalive{
		KeepaliveTime:     wrapperspb.UInt32(30), // seconds
		KeepaliveInterval: wrapperspb.UInt32(10),
		KeepaliveProbes:   wrapperspb.UInt32(3),
	}
}
