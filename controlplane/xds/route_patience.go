package xds

import (
	"slices"
	"strconv"
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// hostAttempts is how often a retry looks for an endpoint that was not tried yet.
const hostAttempts = 5

// patience sets how long and how often an action tries. Zero is no bound, to Envoy
// as in the configuration. hashed says that requests have one endpoint each.
func patience(action *routev3.RouteAction, acts mesh.Effective, hashed bool) {
	action.Timeout = durationpb.New(acts.Timeout.D())
	action.IdleTimeout = durationpb.New(acts.IdleTimeout.D())
	if acts.Retry == nil {
		return
	}
	action.RetryPolicy = retryPolicy(acts.Retry, hashed)
	if acts.Retry.Hedge {
		action.HedgePolicy = &routev3.HedgePolicy{InitialRequests: wrapperspb.UInt32(1), HedgeOnPerTryTimeout: true}
	}
}

func retryPolicy(r *mesh.Retry, hashed bool) *routev3.RetryPolicy {
	on, codes := retryOn(r.On)
	p := &routev3.RetryPolicy{
		RetryOn:              on,
		RetriableStatusCodes: codes,
		NumRetries:           wrapperspb.UInt32(uint32(r.Attempts)),
		RetryBackOff: &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: durationpb.New(r.Backoff.D()), MaxInterval: durationpb.New(longestBackoff(r.Backoff.D())),
		},
	}
	if r.PerTry != nil {
		p.PerTryTimeout = durationpb.New(r.PerTry.D())
	}
	if !hashed {
		p.HostSelectionRetryMaxAttempts = hostAttempts
		p.RetryHostPredicate = []*routev3.RetryPolicy_RetryHostPredicate{{
			Name:       "envoy.retry_host_predicates.previous_hosts",
			ConfigType: &routev3.RetryPolicy_RetryHostPredicate_TypedConfig{TypedConfig: Any(&previoushostsv3.PreviousHostsPredicate{})},
		}}
	}
	return p
}

// longestBackoff is up to where the wait before a retry grows.
func longestBackoff(first time.Duration) time.Duration { return 10 * first }

// retryWord is Envoy's word for one of the configuration's. Those of gRPC are the
// same.
func retryWord(condition string) string {
	switch condition {
	case "connect":
		return "connect-failure"
	case "refused":
		return "refused-stream"
	case "gateway":
		return "gateway-error"
	default:
		return condition
	}
}

// retryOn writes conditions as Envoy has them, and the statuses among them.
func retryOn(conditions []string) (on string, codes []uint32) {
	var words []string
	for _, condition := range conditions {
		if code, err := strconv.ParseUint(condition, 10, 16); err == nil {
			codes = append(codes, uint32(code))
			continue
		}
		words = append(words, retryWord(condition))
	}
	if len(codes) > 0 {
		words = append(words, "retriable-status-codes")
	}
	slices.Sort(words)
	slices.Sort(codes)
	return strings.Join(slices.Compact(words), ","), slices.Compact(codes)
}

// retriesConnect says whether a connection that was not made is tried again.
func retriesConnect(conditions []string) bool { return slices.Contains(conditions, "connect") }
