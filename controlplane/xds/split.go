package xds

import (
	"cmp"
	"math"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// share is the part of the calls that a version gets, in 1/10000 percent.
type share struct {
	version string
	parts   uint32
}

// shares are those of a service's versions that have one, in the spec's order.
type shares []share

// split is how the calls to a service are spread now: as somebody shifted them, or
// as the configuration says.
func (b *builder) split(c call) shares {
	if b.in.Split != nil {
		if shifted := c.sharesOf(b.in.Split(c.upstream)); len(shifted) > 0 {
			return shifted
		}
	}
	if own := c.sharesOf(c.service.Split); len(own) > 0 {
		return own
	}
	return shares{{c.service.Versions[0].Name, wholeShare}}
}

const wholeShare = 100 * 10_000

func (c call) sharesOf(split map[string]mesh.Percent) shares {
	var list shares
	for i := range c.service.Versions {
		name := c.service.Versions[i].Name
		if parts := uint32(math.Round(float64(split[name]) * 10_000)); parts > 0 {
			list = append(list, share{name, parts})
		}
	}
	return list
}

func (s shares) of(version string) uint32 {
	for _, share := range s {
		if share.version == version {
			return share.parts
		}
	}
	return 0
}

// greatestFirst are the same, of equal ones in the spec's order.
func (s shares) greatestFirst() shares {
	s = slices.Clone(s)
	slices.SortStableFunc(s, func(x, y share) int { return cmp.Compare(y.parts, x.parts) })
	return s
}

// sendTo makes an action send requests to versions by their shares. needs are the
// clusters.
func (b *builder) sendTo(action *routev3.RouteAction, c call, to shares) (needs []Key) {
	if len(to) == 1 {
		cluster := b.callCluster(c, to[0].version)
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: cluster}
		return []Key{{Cluster, cluster}}
	}
	weighted := &routev3.WeightedCluster{}
	for _, share := range to {
		cluster := b.callCluster(c, share.version)
		weighted.Clusters = append(weighted.Clusters, &routev3.WeightedCluster_ClusterWeight{Name: cluster, Weight: wrapperspb.UInt32(share.parts)})
		needs = append(needs, Key{Cluster, cluster})
	}
	action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted}
	return needs
}
