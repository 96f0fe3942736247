package xds

import (
	"cmp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

// overprovisioning is the factor with which a level takes all calls as long as
// this share of it is healthy, in percent. Envoy takes 140 by itself: 71 %.
func overprovisioning(threshold mesh.Percent) uint32 {
	const never = 100_000 // nothing is given away as long as anybody is healthy
	if float64(threshold)*never <= 100*100 {
		return never
	}
	factor := 100 * 100 / float64(threshold)
	if whole := uint32(factor); float64(whole) == factor {
		return whole
	}
	return uint32(factor) + 1
}

// localities groups endpoints by how far they are, and by zone.
func (b *builder) localities(c call, endpoints []endpoint) []*endpointv3.LocalityLbEndpoints {
	levels := b.zonesMatter(c)
	here := ""
	if h := b.in.Config.Hosts[b.in.Host]; h != nil {
		here = h.Zone
	}
	far := func(e endpoint) int {
		if !levels {
			return 0
		}
		return distance(here, e.Zone)
	}
	slices.SortStableFunc(endpoints, func(x, y endpoint) int {
		return cmp.Or(cmp.Compare(far(x), far(y)), cmp.Compare(x.Zone, y.Zone), cmp.Compare(x.Version, y.Version), cmp.Compare(x.Host, y.Host))
	})
	var groups []*endpointv3.LocalityLbEndpoints
	last, level := -1, -1
	for i, e := range endpoints {
		if d := far(e); d != last {
			last, level = d, level+1 // levels without a gap
		}
		if i == 0 || endpoints[i-1].Zone != e.Zone || groups[len(groups)-1].Priority != uint32(level) {
			groups = append(groups, &endpointv3.LocalityLbEndpoints{Locality: locality(e.Zone), Priority: uint32(level)})
		}
		g := groups[len(groups)-1]
		g.LbEndpoints = append(g.LbEndpoints, b.lbEndpoint(c, e))
	}
	return groups
}

// zonesMatter says whether near endpoints come first. They do not where versions
// have shares of one assignment: nearness would undo the split.
func (b *builder) zonesMatter(c call) bool {
	return c.how.Failover.Zones && (c.isHTTP() || len(b.split(c)) < 2)
}

// distance is 0 within a zone, 1 within its region, else 2. A host without a zone
// is as far from all.
func distance(here, there string) int {
	switch {
	case here == "" || here == there:
		return 0
	case region(here) == region(there):
		return 1
	default:
		return 2
	}
}

// region is that of "REGION/ZONE", "" of a ZONE alone.
func region(zone string) string {
	before, _, found := strings.Cut(zone, "/")
	if !found {
		return ""
	}
	return before
}

func locality(zone string) *corev3.Locality {
	name := zone
	if before, after, found := strings.Cut(zone, "/"); found {
		return &corev3.Locality{Region: before, Zone: after}
	}
	return &corev3.Locality{Zone: name}
}

func (b *builder) lbEndpoint(c call, e endpoint) *endpointv3.LbEndpoint {
	lb := &endpointv3.LbEndpoint{
		HostIdentifier:      &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(e.Address, int(e.Port))}},
		HealthStatus:        healthStatus(e.State),
		LoadBalancingWeight: wrapperspb.UInt32(e.weight),
	}
	if !c.isHTTP() && hasVersions(c.versions()) {
		lb.Metadata = metadata("envoy.transport_socket_match", versionMatch(e.Version))
	}
	if c.how.Hash == "source" {
		// All hosts' callers have the same address. The place of an endpoint on the
		// ring is another one for each host, so that not all go to the same.
		key := e.Host + at(e.Version) + " from " + b.in.Host
		if lb.Metadata == nil {
			lb.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{}}
		}
		lb.Metadata.FilterMetadata["envoy.lb"] = &structpb.Struct{Fields: map[string]*structpb.Value{"hash_key": structpb.NewStringValue(key)}}
	}
	return lb
}

func metadata(filter string, s *structpb.Struct) *corev3.Metadata {
	return &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{filter: s}}
}

func healthStatus(s catalog.State) corev3.HealthStatus {
	switch s {
	case catalog.StateHealthy:
		return corev3.HealthStatus_HEALTHY
	case catalog.StateDegraded:
		return corev3.HealthStatus_DEGRADED
	case catalog.StateDraining:
		return corev3.HealthStatus_DRAINING
	default:
		return corev3.HealthStatus_UNHEALTHY
	}
}
