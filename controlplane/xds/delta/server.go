package delta

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// Server holds what the Envoy of this host is to have, and tells it.
type Server struct {
	opts      Options
	changed   chan struct{}
	receivers sync.WaitGroup // goroutines of streams

	mu     sync.Mutex // guards what follows, and all of the streams
	shelf  *shelf
	begun  bool    // there was a Replace
	stream *stream // the newest
	envoy  string  // version of the last Envoy
	counts map[xds.Type]*Counts
}

// New makes a Server that has been told nothing, and so answers nothing: an Envoy
// keeps what it has until the first Replace.
func New(o Options) *Server {
	o.Timings = o.Timings.orDefault()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{opts: o, changed: make(chan struct{}, 1), shelf: newShelf(), counts: map[xds.Type]*Counts{}}
	for _, t := range xds.Types() {
		s.counts[t] = &Counts{}
	}
	return s
}

// Serve answers Envoy on a listener that lets nobody else in, until ctx ends. One
// stream counts: the newest. It closes l, and returns nil where ctx ended it.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	g := grpc.NewServer(
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(8<<20), // the names of everything, after a reconnect
		grpc.MaxConcurrentStreams(8), grpc.ConnectionTimeout(10*time.Second),
		grpc.WaitForHandlers(true),
	)
	discovery.RegisterAggregatedDiscoveryServiceServer(g, service{s: s})
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		s.stop()
		g.Stop()
	})
	err := g.Serve(l)
	if stop() {
		g.Stop()
	} else {
		<-stopped
	}
	s.receivers.Wait()
	if ctx.Err() != nil || errors.Is(err, grpc.ErrServerStopped) {
		return nil //nolint:nilerr // it was stopped
	}
	return err
}

// stop ends the stream that there is.
func (s *Server) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil {
		s.stream.end(errStopped)
	}
}

// Replace says all that Envoy is to have. What is spared is kept as Envoy has it,
// if it has it, and not given to it. It returns at once.
func (s *Server) Replace(resources []*xds.Resource, spared ...xds.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := !s.begun
	s.begun = true
	s.tell(s.shelf.replace(resources, spared), first)
}

// Update says what these resources are now, and nothing about others: the way for
// assignments, at the cost of what changed. It returns at once.
func (s *Server) Update(resources []*xds.Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(s.shelf.update(resources), false)
}

// tell has the stream look at what may be different.
func (s *Server) tell(changed []xds.Key, anyway bool) {
	if len(changed) == 0 && !anyway {
		return
	}
	if s.stream == nil {
		for _, k := range changed {
			s.shelf.forget(k)
		}
	} else {
		s.stream.mark(changed...)
		s.stream.rested = false // the next pass says so where nothing is to be sent
		s.stream.poke()
	}
	s.notify()
}
