package xds

import (
	"strconv"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// limitedRoutes are the budgets of a call's routes. One route of the configuration is
// several to Envoy, which by itself would give each a budget: so they are the
// virtual host's, and a route names its own. The listener is one caller's, and so
// are they.
type limitedRoutes struct {
	config *localratelimitv3.LocalRateLimit // nil without any
	names  map[*mesh.Limit]string
}

// bound makes a route take from the budget of a limit. One that answers by itself is
// a single one, and has it as its own.
func (n *limitedRoutes) bound(r *routev3.Route, l *mesh.Limit, stat string) {
	action := r.GetRoute()
	switch {
	case l == nil:
	case action == nil:
		r.TypedPerFilterConfig = map[string]*anypb.Any{limitFilter: Any(localLimit(l, stat))}
	default:
		action.RateLimits = []*routev3.RateLimit{{Actions: []*routev3.RateLimit_Action{{
			ActionSpecifier: &routev3.RateLimit_Action_GenericKey_{GenericKey: &routev3.RateLimit_Action_GenericKey{DescriptorKey: "route", DescriptorValue: n.budget(l, stat)}},
		}}}}
	}
}

// budget is the name of a limit's.
func (n *limitedRoutes) budget(l *mesh.Limit, stat string) string {
	if name, ok := n.names[l]; ok {
		return name
	}
	own := localLimit(l, stat)
	if n.config == nil {
		n.names = map[*mesh.Limit]string{}
		n.config = localLimit(l, stat)
		n.config.AlwaysConsumeDefaultTokenBucket = wrapperspb.Bool(false)
		n.config.TokenBucket = &typev3.TokenBucket{ // of the other routes
			MaxTokens: 1 << 31, TokensPerFill: wrapperspb.UInt32(1 << 31), FillInterval: durationpb.New(time.Second),
		}
	}
	name := strconv.Itoa(len(n.names))
	n.names[l] = name
	n.config.Descriptors = append(n.config.Descriptors, &ratelimitv3.LocalRateLimitDescriptor{
		Entries: []*ratelimitv3.RateLimitDescriptor_Entry{{Key: "route", Value: name}}, TokenBucket: own.TokenBucket,
	})
	return name
}

// apply gives the budgets to the virtual host.
func (n *limitedRoutes) apply(host *routev3.VirtualHost) {
	if n.config != nil {
		host.TypedPerFilterConfig = map[string]*anypb.Any{limitFilter: Any(n.config)}
	}
}

// localLimit is a limit that this host counts by itself. More is answered with
// 429, and when to come again.
func localLimit(l *mesh.Limit, stat string) *localratelimitv3.LocalRateLimit {
	always := &corev3.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{Numerator: 100, Denominator: typev3.FractionalPercent_HUNDRED}}
	return &localratelimitv3.LocalRateLimit{
		StatPrefix:     stat,
		Status:         &typev3.HttpStatus{Code: typev3.StatusCode_TooManyRequests},
		FilterEnabled:  always,
		FilterEnforced: always,
		TokenBucket: &typev3.TokenBucket{
			MaxTokens:     uint32(l.Burst),
			TokensPerFill: wrapperspb.UInt32(uint32(l.Count)),
			FillInterval:  durationpb.New(l.Per.D()),
		},
		EnableXRatelimitHeaders: ratelimitv3.XRateLimitHeadersRFCVersion_DRAFT_VERSION_03,
	}
}
