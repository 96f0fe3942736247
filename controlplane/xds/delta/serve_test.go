package delta

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/internal/testkit/leaks"
)

// TestMain fails where goroutines are left that do not end.
func TestMain(m *testing.M) { leaks.Main(m) }

// client is a connection to a Server that serves.
type client struct {
	t  *testing.T
	cc *grpc.ClientConn
}

func serveOn(t *testing.T, s *Server) (c client, stop func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "xds.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	cc, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cc.Close() })
	return client{t, cc}, func() {
		t.Helper()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(testPatience):
			t.Error("serve does not end")
		}
	}
}

type adsStream = discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

func (c client) stream(ctx context.Context) adsStream {
	c.t.Helper()
	st, err := discovery.NewAggregatedDiscoveryServiceClient(c.cc).DeltaAggregatedResources(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := st.Send(&request{TypeUrl: string(xds.Cluster), Node: &core.Node{Id: "host1"}}); err != nil {
		c.t.Fatal(err)
	}
	return st
}

// TestServe: a stream is served, the next one takes over, and the end of the context
// ends all of it.
func TestServe(t *testing.T) {
	s := New(Options{})
	s.Replace([]*xds.Resource{thing(xds.Cluster, "a", "1")})
	c, stop := serveOn(t, s)
	first := c.stream(t.Context())
	m, err := first.Recv()
	if err != nil || len(m.GetResources()) != 1 || m.GetResources()[0].GetName() != "a" {
		t.Fatalf("got %v, %v", m, err)
	}
	second := c.stream(t.Context())
	if _, err := second.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the first stream ends with %v", err)
	}
	if st := s.Status(); !st.Connected || st.Node != "host1" {
		t.Errorf("status: %+v", st)
	}
	s.Update([]*xds.Resource{thing(xds.Cluster, "a", "2")})
	if m, err := second.Recv(); err != nil || m.GetResources()[0].GetVersion() != "2[]" {
		t.Errorf("got %v, %v", m, err)
	}
	stop()
	if _, err := second.Recv(); err == nil {
		t.Error("the second stream goes on")
	}
	if s.Status().Connected {
		t.Error("still connected")
	}
}

// TestServeRefuses: what breaks the bounds of a request ends the stream.
func TestServeRefuses(t *testing.T) {
	s := New(Options{})
	s.Replace(nil)
	c, stop := serveOn(t, s)
	defer stop()
	for name, req := range map[string]*request{
		"no type":    {},
		"long type":  {TypeUrl: string(make([]byte, nameMost+1))},
		"long name":  {TypeUrl: string(xds.Secret), ResourceNamesSubscribe: []string{string(make([]byte, nameMost+1))}},
		"long name ": {TypeUrl: string(xds.Secret), ResourceNamesUnsubscribe: []string{string(make([]byte, nameMost+1))}},
	} {
		st := c.stream(t.Context())
		if _, err := st.Recv(); err != nil {
			t.Fatal(err)
		}
		if err := st.Send(req); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	names := make([]string, namesMost+1)
	for i := range names {
		names[i] = "n"
	}
	st := c.stream(t.Context())
	if err := st.Send(&request{TypeUrl: string(xds.Secret), ResourceNamesSubscribe: names}); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := st.Recv(); err != nil {
			if status.Code(err) != codes.ResourceExhausted {
				t.Errorf("too many names: %v", err)
			}
			return
		}
	}
}

// TestServeAwayAndBack: a stream that its client ends leaves nothing behind.
func TestServeAwayAndBack(t *testing.T) {
	s := New(Options{})
	s.Replace([]*xds.Resource{thing(xds.Cluster, "a", "1")})
	c, stop := serveOn(t, s)
	defer stop()
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := c.stream(ctx).Recv(); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	limit := time.After(testPatience)
	for s.Status().Connected {
		select {
		case <-s.Changed():
		case <-limit:
			t.Fatal("still connected")
		}
	}
}
