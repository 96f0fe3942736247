package xds

import (
	"strings"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

const (
	// endpointsTimeout bounds the wait of a changed cluster for its endpoints: then
	// it goes on with those that it had. Without a bound it may wait for ever, and
	// all clusters that are sent later with it.
	endpointsTimeout = time.Second

	leastChoices     = 2  // endpoints of which the one with fewer requests is taken
	slowStartPercent = 10 // of its share, with which a new endpoint begins
	ringSize         = 1024
	maxRingSize      = 8 << 20
	maglevSize       = 65537 // prime, as Maglev wants it
)

// balance sets how a cluster picks an endpoint.
func balance(c *clusterv3.Cluster, how *mesh.Edge) {
	switch how.LB {
	case "round_robin":
		c.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		c.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: slowStart(how)}}
	case "random":
		c.LbPolicy = clusterv3.Cluster_RANDOM
	case "ring_hash":
		c.LbPolicy = clusterv3.Cluster_RING_HASH
		c.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{
			MinimumRingSize: wrapperspb.UInt64(ringSize), MaximumRingSize: wrapperspb.UInt64(maxRingSize),
			HashFunction: clusterv3.Cluster_RingHashLbConfig_XX_HASH,
		}}
	case "maglev":
		c.LbPolicy = clusterv3.Cluster_MAGLEV
		c.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(maglevSize)}}
	default:
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		c.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{
			ChoiceCount: wrapperspb.UInt32(leastChoices), SlowStartConfig: slowStart(how),
		}}
	}
}

func slowStart(how *mesh.Edge) *clusterv3.Cluster_SlowStartConfig {
	if how.SlowStart == 0 {
		return nil
	}
	return &clusterv3.Cluster_SlowStartConfig{
		SlowStartWindow:  durationpb.New(how.SlowStart.D()),
		MinWeightPercent: &typev3.Percent{Value: slowStartPercent},
	}
}

// commonBalance is what all policies have in common. Endpoints that come and go
// leave connections as they are.
func commonBalance(how *mesh.Edge) *clusterv3.Cluster_CommonLbConfig {
	return &clusterv3.Cluster_CommonLbConfig{
		HealthyPanicThreshold: &typev3.Percent{Value: float64(how.Panic)},
		// Each update acts at once: the agent has put together what belongs together.
		UpdateMergeWindow: durationpb.New(0),
	}
}

// hashes says whether a policy picks by a hash of the request, so that a retry
// must not look for another endpoint.
func hashes(how *mesh.Edge) bool { return how.LB == "ring_hash" || how.LB == "maglev" }

// requestHash is what of a request decides about its endpoint. A caller has one
// address on a host: by "source", what one host's caller sends has one endpoint.
func requestHash(hash string) []*routev3.RouteAction_HashPolicy {
	kind, name, _ := strings.Cut(hash, ":")
	switch kind {
	case "header":
		return []*routev3.RouteAction_HashPolicy{{PolicySpecifier: &routev3.RouteAction_HashPolicy_Header_{Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: name}}}}
	case "cookie":
		return []*routev3.RouteAction_HashPolicy{{PolicySpecifier: &routev3.RouteAction_HashPolicy_Cookie_{Cookie: &routev3.RouteAction_HashPolicy_Cookie{Name: name}}}}
	case "source":
		return []*routev3.RouteAction_HashPolicy{{PolicySpecifier: &routev3.RouteAction_HashPolicy_ConnectionProperties_{ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true}}}}
	}
	return nil
}

// tcpHash is the same of a connection, which has neither headers nor cookies.
func tcpHash(hash string) []*typev3.HashPolicy {
	if hash != "source" {
		return nil
	}
	return []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
}

// outlier leaves endpoints out that fail. Nothing acts but what the configuration
// says: one rule, the same time for each ejection, and no statistics.
func outlier(o mesh.Outlier) *clusterv3.OutlierDetection {
	if o.Errors == 0 {
		return nil
	}
	zero := wrapperspb.UInt32(0)
	return &clusterv3.OutlierDetection{
		Consecutive_5Xx:          wrapperspb.UInt32(uint32(o.Errors)), // failed connections are among them
		EnforcingConsecutive_5Xx: wrapperspb.UInt32(100),
		Interval:                 durationpb.New(o.Every.D()),
		BaseEjectionTime:         durationpb.New(o.Eject.D()),
		MaxEjectionTime:          durationpb.New(o.Eject.D()),
		MaxEjectionTimeJitter:    durationpb.New(0),
		MaxEjectionPercent:       wrapperspb.UInt32(uint32(o.Max)),
		AlwaysEjectOneHost:       wrapperspb.Bool(false),

		EnforcingConsecutiveGatewayFailure:    zero,
		EnforcingSuccessRate:                  zero,
		EnforcingFailurePercentage:            zero,
		EnforcingFailurePercentageLocalOrigin: zero,
	}
}

// circuit bounds what is in flight. Of retries that is, where the configuration
// has any, a share of the requests, and never less than its number.
func (b *builder) circuit(c call) *clusterv3.CircuitBreakers {
	limits := &clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     wrapperspb.UInt32(uint32(c.how.Circuit.Connections)),
		MaxPendingRequests: wrapperspb.UInt32(uint32(c.how.Circuit.Pending)),
		MaxRequests:        wrapperspb.UInt32(uint32(c.how.Circuit.Requests)),
		MaxRetries:         wrapperspb.UInt32(uint32(c.how.Circuit.Retries)),
		TrackRemaining:     true,
	}
	if budget := b.retryBudget(c); budget > 0 {
		limits.RetryBudget = &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent:       &typev3.Percent{Value: float64(budget)},
			MinRetryConcurrency: wrapperspb.UInt32(uint32(c.how.Circuit.Retries)),
		}
	}
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{limits}}
}

// retryBudget is the greatest that any retry of a call has: a cluster has one for
// all routes that lead to it.
func (b *builder) retryBudget(c call) mesh.Percent {
	budget := mesh.Percent(0)
	take := func(r *mesh.Retry) {
		if r != nil {
			budget = max(budget, r.Budget)
		}
	}
	take(c.how.Retry)
	if c.service != nil {
		for i := range c.service.Routes {
			take(c.service.Routes[i].Retry)
		}
	}
	if g := b.in.Config.Gateways[c.caller]; g != nil {
		for i := range g.Routes {
			take(g.Routes[i].Retry)
		}
	}
	return budget
}
