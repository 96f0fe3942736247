package xds

import (
	"cmp"
	"fmt"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

func (b *builder) assignmentsOf(service string) {
	for _, c := range b.callsOf(service) {
		if c.service != nil {
			b.assignments(c)
		}
	}
}

// assignments builds the endpoints of a call, of each version by itself, or of all
// where that is how connections are spread. There always is one, if an empty one:
// a cluster without any would wait for it. A caller without a certificate has
// nobody to call: each call would fail, and count against those who are well.
func (b *builder) assignments(c call) {
	barred := !b.certified(c.caller)
	versions := []string{""}
	if c.isHTTP() {
		versions = c.versions()
	}
	for _, version := range versions {
		name := assignmentName(c.caller, c.edge, version)
		body, err := b.assignment(c, version, barred)
		if err != nil {
			b.problem(Missing, c.about(), fmt.Sprintf("%s: %v", name, err))
			continue
		}
		r := marshalled(Assignment, name, append(assignmentStart(name), body...), c.about())
		b.built[r.Key] = r
	}
}

// assignmentStart is the name of an assignment, which is its first field.
func assignmentStart(name string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
}

// assigned is what the endpoints of a call follow from. Callers that call alike have
// the same.
type assigned struct {
	upstream, version string
	http, zones       bool
	source            bool // each host has an order of its own
	barred            bool // nobody
	threshold         mesh.Percent
}

// assignment is one without its name, marshalled. It is made once for all callers:
// the busiest service is called by each of a host's.
func (b *builder) assignment(c call, version string, barred bool) ([]byte, error) {
	key := assigned{c.upstream, version, c.isHTTP(), b.zonesMatter(c), c.how.Hash == "source", barred, c.how.Failover.Threshold}
	if body, ok := b.bodies[key]; ok {
		return body, nil
	}
	var spread []endpoint
	if !barred {
		spread = b.spread(c, version)
	}
	message := &endpointv3.ClusterLoadAssignment{
		ClusterName: "any",
		Endpoints:   b.localities(c, spread),
		Policy: &endpointv3.ClusterLoadAssignment_Policy{
			OverprovisioningFactor: wrapperspb.UInt32(overprovisioning(c.how.Failover.Threshold)),
			WeightedPriorityHealth: true,
		},
	}
	if err := message.ValidateAll(); err != nil {
		return nil, err
	}
	message.ClusterName = ""
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, err
	}
	if b.bodies == nil {
		b.bodies = map[assigned][]byte{}
	}
	b.bodies[key] = body
	return body, nil
}

// spread are the endpoints of a call's version by their copies, or of all versions
// also by their shares.
func (b *builder) spread(c call, version string) []endpoint {
	all := b.endpoints(c.upstream)
	if !c.isHTTP() {
		return b.weighed(c, all)
	}
	var list []endpoint
	for i := range all {
		if all[i].Version == version {
			list = append(list, endpoint{Endpoint: &all[i], weight: copies(&all[i])})
		}
	}
	return list
}

func (b *builder) endpoints(service string) []catalog.Endpoint {
	if b.in.Endpoints == nil {
		return nil
	}
	return b.in.Endpoints(service)
}

// endpoint is one with its share among the others of its assignment.
type endpoint struct {
	*catalog.Endpoint
	weight uint32
}

// copies is how many an endpoint stands for: those that take calls, or all where
// none does.
func copies(e *catalog.Endpoint) uint32 {
	return uint32(max(cmp.Or(e.Ready, e.Copies), 1))
}

// weighed gives each version its share, and within it each endpoint a part by its
// copies. Without versions the copies are all. Versions without a share are left
// out.
func (b *builder) weighed(c call, all []catalog.Endpoint) []endpoint {
	var list []endpoint
	if !hasVersions(c.versions()) {
		for i := range all {
			list = append(list, endpoint{Endpoint: &all[i], weight: copies(&all[i])})
		}
		return list
	}
	total := map[string]uint64{} // copies that take calls, by version
	for i := range all {
		if all[i].State >= catalog.StateDegraded {
			total[all[i].Version] += uint64(copies(&all[i]))
		}
	}
	shares := b.split(c)
	for i := range all {
		e := &all[i]
		share := shares.of(e.Version)
		if share == 0 {
			continue
		}
		own := uint64(copies(e))
		weight := uint64(share) * own / max(total[e.Version], own)
		list = append(list, endpoint{Endpoint: e, weight: uint32(max(weight, 1))})
	}
	return list
}
