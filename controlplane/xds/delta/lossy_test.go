package delta

import (
	"net"
	"os"
	"path/filepath"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// lose serves with a Server that never sends what it means to send of a type, and
// returns what stops it.
func (r *real) lose(t xds.Type, resources []*xds.Resource) (stop func()) {
	socket := filepath.Join(r.dir, "xds.sock")
	_ = os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		r.t.Fatal(err)
	}
	s := New(Options{})
	s.Replace(resources)
	g := grpc.NewServer(grpc.WaitForHandlers(true))
	discovery.RegisterAggregatedDiscoveryServiceServer(g, losing{service: service{s: s}, t: t})
	go g.Serve(l)
	r.server, r.stop = s, func() {}
	return func() {
		g.Stop()
		s.receivers.Wait()
	}
}

type losing struct {
	service
	t xds.Type
}

func (l losing) DeltaAggregatedResources(g discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return l.service.DeltaAggregatedResources(losingStream{g, l.t})
}

type losingStream struct {
	discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	t xds.Type
}

func (s losingStream) Send(m *response) error {
	if m.GetTypeUrl() == string(s.t) {
		return nil
	}
	return s.AggregatedDiscoveryService_DeltaAggregatedResourcesServer.Send(m)
}
