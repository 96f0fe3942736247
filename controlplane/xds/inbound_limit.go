package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	ratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	metadatav3 "github.com/envoyproxy/go-control-plane/envoy/type/metadata/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// Where the filter of the rules notes which one let a request pass.
const (
	rulesMetadata = "envoy.filters.http.rbac"
	rulesVerdict  = "enforced_effective_policy_id"
)

// limits builds the rates at which this host lets callers call an offer that is
// HTTP: those of the allows that let them pass. A shadow limits nobody.
func (b *builder) limits(o offer) {
	name := limitsExtension(o.service, o.listen)
	config := &localratelimitv3.LocalRateLimit{StatPrefix: "in:" + mesh.EdgeName(o.service, o.listen)}
	for i, a := range b.in.Config.Services[o.service].Allows {
		if a.Limit != nil && !a.Shadow && (a.Listen == "" || a.Listen == o.runs) {
			limitRule(config, a.Caller+"."+ruleAllow(i), a.Limit)
		}
	}
	b.add(Extension, name, &corev3.TypedExtensionConfig{Name: name, TypedConfig: Any(config)}, o.about())
}

// limitRule adds a budget for the requests that a rule lets pass, or for each client
// of theirs: the address that the gateway took them from.
func limitRule(config *localratelimitv3.LocalRateLimit, rule string, l *mesh.Limit) {
	own := localLimit(l, config.StatPrefix)
	if len(config.Descriptors) == 0 {
		config.Status, config.FilterEnabled, config.FilterEnforced = own.Status, own.FilterEnabled, own.FilterEnforced
		config.EnableXRatelimitHeaders = own.EnableXRatelimitHeaders
		config.AlwaysConsumeDefaultTokenBucket = wrapperspb.Bool(false)
		config.MaxDynamicDescriptors = wrapperspb.UInt32(mostClients)
		config.TokenBucket = &typev3.TokenBucket{ // of whom nothing limits
			MaxTokens: 1 << 31, TokensPerFill: wrapperspb.UInt32(1 << 31), FillInterval: durationpb.New(l.Per.D()),
		}
		config.RateLimits = []*routev3.RateLimit{
			{Actions: []*routev3.RateLimit_Action{byRule()}},
			{Actions: []*routev3.RateLimit_Action{byRule(), byClient()}},
		}
	}
	entries := []*ratelimitv3.RateLimitDescriptor_Entry{{Key: "rule", Value: rule}}
	if l.By == "client" {
		entries = append(entries, &ratelimitv3.RateLimitDescriptor_Entry{Key: "remote_address"}) // any, each for itself
	}
	config.Descriptors = append(config.Descriptors, &ratelimitv3.LocalRateLimitDescriptor{Entries: entries, TokenBucket: own.TokenBucket})
}

func byRule() *routev3.RateLimit_Action {
	return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_Metadata{Metadata: &routev3.RateLimit_Action_MetaData{
		DescriptorKey: "rule",
		MetadataKey: &metadatav3.MetadataKey{Key: rulesMetadata, Path: []*metadatav3.MetadataKey_PathSegment{{
			Segment: &metadatav3.MetadataKey_PathSegment_Key{Key: rulesVerdict},
		}}},
		Source: routev3.RateLimit_Action_MetaData_DYNAMIC,
	}}}
}

func byClient() *routev3.RateLimit_Action {
	return &routev3.RateLimit_Action{ActionSpecifier: &routev3.RateLimit_Action_RemoteAddress_{RemoteAddress: &routev3.RateLimit_Action_RemoteAddress{}}}
}

// discovered is a place in a chain for a filter that comes by itself, so that a
// change of it closes nothing. Until it comes another one stands there.
func discovered(name string, until Message) *hcmv3.HttpFilter {
	config := Any(until)
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
		ConfigSource: ads(), TypeUrls: []string{config.TypeUrl}, DefaultConfig: config,
	}}}
}
