package xds

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	localTries      = 3 // of a call, at the copies
	localRetryAfter = 25 * time.Millisecond
	idleLocal       = time.Minute // an application's connections are its own to save
)

// local builds the cluster of an offer's copies on this host.
func (b *builder) local(o offer) {
	var endpoints []*endpointv3.LbEndpoint
	for _, l := range o.copies {
		health := corev3.HealthStatus_HEALTHY
		if l.ill {
			health = corev3.HealthStatus_UNHEALTHY
		}
		endpoints = append(endpoints, &endpointv3.LbEndpoint{HealthStatus: health, HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
			Endpoint: &endpointv3.Endpoint{Address: socketAddress(dialled(l.Address), l.Port)},
		}})
	}
	c := &clusterv3.Cluster{
		Name:                 o.cluster(),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: o.cluster(), Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: endpoints}},
		},
		ConnectTimeout:                durationpb.New(connectTimeout),
		LbPolicy:                      clusterv3.Cluster_ROUND_ROBIN, // a second try of TCP goes to another copy
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit),
		CommonLbConfig:                &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 0}},
		CircuitBreakers:               bounded(b.in.Config.Services[o.service].Connections),
		UpstreamConnectionOptions:     &clusterv3.UpstreamConnectionOptions{TcpKeepalive: keepalive()},
	}
	if isHTTP(o.protocol) {
		speakWithin(c, o.protocol != "http", idleLocal, fromApplication)
	}
	b.add(Cluster, o.cluster(), c, o.about())
}

// bounded are the circuit breakers of a local cluster: its connections where the
// service has a bound, and nothing else. A connection of TCP above it is refused; a
// request waits for a connection to become free, beside as many others.
func bounded(connections int) *clusterv3.CircuitBreakers {
	all := wrapperspb.UInt32(math.MaxUint32)
	t := &clusterv3.CircuitBreakers_Thresholds{MaxConnections: all, MaxPendingRequests: all, MaxRequests: all, MaxRetries: all}
	if connections > 0 {
		t.MaxConnections, t.MaxPendingRequests = wrapperspb.UInt32(uint32(connections)), wrapperspb.UInt32(uint32(connections))
		t.TrackRemaining = true
	}
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{t}}
}

// dialled is the address at which to reach one who listens on an address.
func dialled(address string) string {
	switch address {
	case "", "0.0.0.0":
		return "127.0.0.1"
	case "::":
		return "::1"
	default:
		return address
	}
}
