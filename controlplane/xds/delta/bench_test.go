package delta

import (
	"fmt"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// BenchmarkFlap is one endpoint that changes, from its service's endpoints to the
// message for Envoy and back to its acknowledgement: 1,000 services with 50 each.
// Nothing here is a network: that is gRPC's, and Envoy's.
func BenchmarkFlap(b *testing.B) {
	const services, endpoints = 1000, 50
	s := New(Options{})
	var all []*xds.Resource
	for i := range services {
		name := fmt.Sprint("service", i)
		e := manyEndpoints(b, name, endpoints, 0)
		all = append(all, e, thing(xds.Cluster, name, "v", e.Key))
	}
	s.Replace(all)
	st := s.open(func(error) {})
	subscribe := &request{TypeUrl: string(xds.Assignment), Node: &core.Node{Id: "host1"}}
	for _, r := range all {
		if r.Type == xds.Assignment {
			subscribe.ResourceNamesSubscribe = append(subscribe.ResourceNamesSubscribe, r.Name)
		}
	}
	for _, req := range []*request{{TypeUrl: string(xds.Cluster), Node: &core.Node{Id: "host1"}}, subscribe, {TypeUrl: string(xds.Listener)}} {
		if err := s.hear(st, req); err != nil {
			b.Fatal(err)
		}
	}
	answer := func() (bytes, messages int) {
		for {
			out, _ := s.flush(st)
			if len(out) == 0 {
				return bytes, messages
			}
			for _, m := range out {
				messages++
				for _, r := range m.GetResources() {
					bytes += len(r.GetResource().GetValue())
				}
				if err := s.hear(st, &request{TypeUrl: m.GetTypeUrl(), ResponseNonce: m.GetNonce()}); err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	answer()
	if !s.Status().Settled {
		b.Fatal("not settled")
	}
	flap := func(b *testing.B, change func(i int) *xds.Resource) {
		var bytes, messages, ops int
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			s.Update([]*xds.Resource{change(i)})
			n, m := answer()
			bytes, messages, ops = bytes+n, messages+m, ops+1
		}
		b.ReportMetric(float64(bytes)/float64(ops), "sent-B/op")
		b.ReportMetric(float64(messages)/float64(ops), "messages/op")
	}
	b.Run("built", func(b *testing.B) { // with the assignment made of its endpoints
		flap(b, func(i int) *xds.Resource {
			return manyEndpoints(b, fmt.Sprint("service", i%services), endpoints, i/services+1)
		})
	})
	two := []*xds.Resource{manyEndpoints(b, "service0", endpoints, 0), manyEndpoints(b, "service0", endpoints, 1)}
	b.Run("sent", func(b *testing.B) { // the server's part alone
		flap(b, func(i int) *xds.Resource { return two[(i+1)%2] })
	})
}

// BenchmarkReplace is a whole configuration in which one resource differs.
func BenchmarkReplace(b *testing.B) {
	s := New(Options{})
	var all []*xds.Resource
	for i := range 1000 {
		name := fmt.Sprint("service", i)
		e := manyEndpoints(b, name, 50, 0)
		all = append(all, e, thing(xds.Cluster, name, "v", e.Key))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		all[0] = thing(xds.Assignment, "service0", fmt.Sprint(i))
		s.Replace(all)
	}
}

func manyEndpoints(b *testing.B, name string, n, flapped int) *xds.Resource {
	m := &endpoint.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpoint.LocalityLbEndpoints{{}}}
	for i := range n {
		e := &endpoint.LbEndpoint{
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{Endpoint: &endpoint.Endpoint{Address: address(10000 + i)}},
			HealthStatus:   core.HealthStatus_HEALTHY,
		}
		if i == n/2 && flapped%2 == 1 {
			e.HealthStatus = core.HealthStatus_UNHEALTHY
		}
		m.Endpoints[0].LbEndpoints = append(m.Endpoints[0].LbEndpoints, e)
	}
	r, err := xds.NewResource(xds.Assignment, name, m, xds.About{})
	if err != nil {
		b.Fatal(err)
	}
	return r
}
