package xds

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	gzipv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/compression/gzip/compressor/v3"
	bufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/buffer/v3"
	compressorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/compressor/v3"
	corsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	healthcheckv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// Names of the filters that a gateway's routes switch on.
const (
	corsFilter        = "envoy.filters.http.cors"
	bufferFilter      = "envoy.filters.http.buffer"
	compressFilter    = "envoy.filters.http.compressor"
	calleeLimitFilter = "nixmesh.callee_limit" // a second one like limitFilter
)

// mostClients are the clients whose rate a route counts at once; the one that was
// away longest is forgotten first.
const mostClients = 10_000

// HealthPath is where a gateway tells load balancers in front of it whether its host
// takes calls, on each port for HTTP and whatever host is asked for: 200, and 503
// while it drains. No route gets it, with or without a query.
const HealthPath = "/.well-known/nixmesh/health"

// gatewayHTTPFilters are the answer to load balancers, and all that a route of a
// gateway may use, without doing anything: routes switch them on. So no change of a
// route changes a chain, which would end the connections of clients.
func gatewayHTTPFilters(stat string) []*hcmv3.HttpFilter {
	off := func(name string, config Message) *hcmv3.HttpFilter {
		f := httpFilter(name, config)
		f.Disabled = true
		return f
	}
	return []*hcmv3.HttpFilter{
		httpFilter("envoy.filters.http.health_check", &healthcheckv3.HealthCheck{
			PassThroughMode: wrapperspb.Bool(false), Headers: []*routev3.HeaderMatcher{headerMatch(":path", patternMatch(regexp.QuoteMeta(HealthPath)+`(?:\?.*)?`))},
		}),
		off(corsFilter, &corsv3.Cors{}),
		httpFilter(faultFilter, &faultv3.HTTPFault{}),
		httpFilter(limitFilter, &localratelimitv3.LocalRateLimit{StatPrefix: stat}),
		httpFilter(calleeLimitFilter, &localratelimitv3.LocalRateLimit{StatPrefix: stat}),
		off(bufferFilter, &bufferv3.Buffer{MaxRequestBytes: wrapperspb.UInt32(1 << 20)}),
		off(compressFilter, compressor()),
		router(),
	}
}

func compressor() *compressorv3.Compressor {
	return &compressorv3.Compressor{
		CompressorLibrary: &corev3.TypedExtensionConfig{Name: "gzip", TypedConfig: Any(&gzipv3.Gzip{})},
		ResponseDirectionConfig: &compressorv3.Compressor_ResponseDirectionConfig{
			CommonConfig: &compressorv3.Compressor_CommonDirectionConfig{MinContentLength: wrapperspb.UInt32(1024)},
		},
	}
}

// compressed has the answers of a host compressed for clients that ask for it.
func compressed(v *routev3.VirtualHost) {
	v.TypedPerFilterConfig = map[string]*anypb.Any{compressFilter: Any(&compressorv3.CompressorPerRoute{
		Override: &compressorv3.CompressorPerRoute_Overrides{Overrides: &compressorv3.CompressorOverrides{
			ResponseDirectionConfig: &compressorv3.ResponseDirectionOverrides{},
		}},
	})}
}

// bound sets what a route lets through, and for whom. A body that is bounded is
// read whole before it goes on, which what has no end cannot be. One that comes in
// a single frame of HTTP/2 is let through whatever its bound: it has up to 16 KiB.
func (t *gatewayTable) bound(route *routev3.Route, r *mesh.GatewayRoute, l leaf) {
	filters := map[string]*anypb.Any{}
	if r.Limit != nil {
		filters[limitFilter] = Any(gatewayLimit(r.Limit, gatewaySecret(t.name, "")))
	}
	if l.callee != nil && l.callee.Limit != nil {
		filters[calleeLimitFilter] = Any(gatewayLimit(l.callee.Limit, gatewaySecret(t.name, "")))
	}
	if most := cmp.Or(r.MaxBody, t.gateway.MaxBody); most > 0 && !l.endless {
		filters[bufferFilter] = Any(&bufferv3.BufferPerRoute{Override: &bufferv3.BufferPerRoute_Buffer{
			Buffer: &bufferv3.Buffer{MaxRequestBytes: wrapperspb.UInt32(uint32(min(most, 1<<32-1)))},
		}})
	}
	if r.CORS != nil {
		filters[corsFilter] = Any(corsPolicy(r.CORS))
	}
	if len(filters) > 0 {
		route.TypedPerFilterConfig = filters
	}
}

// hurry ends a request whose client takes too long to send it: the bound of its body
// and the time for the answer, which begins with its end, are all that it may take.
// Envoy's own bound of a body is the whole chain's, and would end streams of gRPC.
func (t *gatewayTable) hurry(action *routev3.RouteAction, r *mesh.GatewayRoute, l leaf, acts mesh.Effective) {
	body := t.gateway.BodyTimeout
	if r.BodyTimeout != nil {
		body = *r.BodyTimeout
	}
	if body == 0 || acts.Timeout == 0 || l.endless {
		return
	}
	action.MaxStreamDuration = &routev3.RouteAction_MaxStreamDuration{MaxStreamDuration: durationpb.New(body.D() + acts.Timeout.D())}
}

// gatewayLimit is a limit of all calls through this host's gateway, or of each of
// its clients.
func gatewayLimit(l *mesh.Limit, stat string) *localratelimitv3.LocalRateLimit {
	limit := localLimit(l, stat)
	if l.By != "client" {
		return limit
	}
	limit.Descriptors = []*ratelimitv3.LocalRateLimitDescriptor{{
		Entries:     []*ratelimitv3.RateLimitDescriptor_Entry{{Key: "remote_address"}}, // any value, each for itself
		TokenBucket: limit.TokenBucket,
	}}
	limit.RateLimits = []*routev3.RateLimit{{Actions: []*routev3.RateLimit_Action{{
		ActionSpecifier: &routev3.RateLimit_Action_RemoteAddress_{RemoteAddress: &routev3.RateLimit_Action_RemoteAddress{}},
	}}}}
	limit.MaxDynamicDescriptors = wrapperspb.UInt32(mostClients)
	limit.AlwaysConsumeDefaultTokenBucket = wrapperspb.Bool(false)
	limit.TokenBucket = &typev3.TokenBucket{ // of nobody: an address is always known
		MaxTokens: 1 << 31, TokensPerFill: wrapperspb.UInt32(1 << 31), FillInterval: durationpb.New(l.Per.D()),
	}
	return limit
}

func corsPolicy(c *mesh.CORS) *corsv3.CorsPolicy {
	policy := &corsv3.CorsPolicy{
		AllowMethods:     strings.Join(c.Methods, ", "),
		AllowHeaders:     strings.Join(c.Headers, ", "),
		AllowCredentials: wrapperspb.Bool(c.Credentials),

		ForwardNotMatchingPreflights: wrapperspb.Bool(false),
	}
	for _, origin := range c.Origins {
		m := exactly(origin)
		if origin == "*" {
			m = patternMatch(".*")
		}
		policy.AllowOriginStringMatch = append(policy.AllowOriginStringMatch, m)
	}
	if c.MaxAge != nil {
		policy.MaxAge = strconv.Itoa(int(c.MaxAge.D().Seconds()))
	}
	return policy
}

// preflight adds the route by which a browser asks whether a page may call. Such a
// question has none of the request's headers and another method. The filter answers
// it, for a page that may not call without what would allow it; for answers of
// Envoy's own it does nothing, hence the cluster.
func (t *gatewayTable) preflight(r *mesh.GatewayRoute, l leaf) {
	match := pathMatch(r.Path)
	match.Headers = []*routev3.HeaderMatcher{
		headerMatch(":method", exactly("OPTIONS")),
		{Name: "origin", HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}},
		headerMatch("access-control-request-method", askedFor(r.Methods)),
	}
	action, needs := t.action(r, l, l.to, true)
	t.needs = append(t.needs, needs...)
	t.list = append(t.list, &routev3.Route{
		Name: r.Host + routeText(r.Path) + " preflight", Match: match, Action: &routev3.Route_Route{Route: action},
		TypedPerFilterConfig: map[string]*anypb.Any{corsFilter: Any(corsPolicy(r.CORS))},
	})
}

// askedFor are the methods that a preflight may ask for, all without any.
func askedFor(methods mesh.Names) *matcherv3.StringMatcher {
	if len(methods) == 0 {
		return patternMatch(".+")
	}
	return oneOf(slices.Sorted(slices.Values(methods)))
}
