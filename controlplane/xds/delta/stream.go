package delta

import (
	"context"
	"errors"
	"fmt"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// Why a stream ends that Envoy did not end.
var (
	errNewer   = errors.New("a newer stream took over")
	errStopped = errors.New("the agent stops")
)

type response = discovery.DeltaDiscoveryResponse

// stream is one conversation with Envoy. What it knows is guarded by Server.mu.
type stream struct {
	s    *Server
	end  context.CancelCauseFunc
	wake chan struct{} // there may be something to send

	feeds  map[xds.Type]*feed
	serial uint64      // of the last message
	extra  []*response // answers to types that are not ours
	node   string
	envoy  string
	since  time.Time
	rested bool // it was settled after the last pass
	fresh  bool // this Envoy began with nothing, as far as it has said
	old    bool // it said that it has something
}

// service is the part of Server that gRPC sees.
type service struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	s *Server
}

// DeltaAggregatedResources serves one stream. Requests are taken by one goroutine,
// which ends when this returns; this one sends.
func (v service) DeltaAggregatedResources(g discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	ctx, end := context.WithCancelCause(g.Context())
	defer end(nil)
	st := v.s.open(end)
	defer v.s.closed(st)
	v.s.receivers.Go(func() {
		for {
			req, err := g.Recv()
			if err == nil {
				err = v.s.hear(st, req)
			}
			if err != nil {
				end(err)
				return
			}
		}
	})
	return st.send(ctx, g)
}

func (st *stream) send(ctx context.Context, g discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		messages, next := st.s.flush(st)
		for _, m := range messages {
			if err := g.Send(m); err != nil {
				return fmt.Errorf("send to envoy: %w", err)
			}
		}
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return ended(context.Cause(ctx))
		case <-st.wake:
		case <-timer.C:
		}
	}
}

// ended is what the peer is told of the cause.
func ended(cause error) error {
	if _, ok := status.FromError(cause); ok {
		return cause
	}
	if errors.Is(cause, errNewer) || errors.Is(cause, errStopped) {
		return status.Error(codes.Unavailable, cause.Error())
	}
	return nil // it went away
}

func (s *Server) open(end context.CancelCauseFunc) *stream {
	st := &stream{s: s, end: end, wake: make(chan struct{}, 1), feeds: map[xds.Type]*feed{}, since: time.Now()}
	for _, t := range xds.Types() {
		st.feeds[t] = newFeed(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil {
		s.stream.end(errNewer)
		s.stream.leave()
	}
	s.stream = st
	for _, f := range s.shelf.refused {
		f.trying = false
	}
	s.notify()
	return st
}

func (s *Server) closed(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opts.Logger.Info("envoy's stream ended", "node", st.node, "taken_over", s.stream != st)
	if s.stream == st {
		st.leave()
		s.stream = nil
		s.notify()
	}
}

// leave notes what was on its way. Who subscribes by name asks for it again.
func (st *stream) leave() {
	for _, t := range []xds.Type{xds.Cluster, xds.Listener} {
		for _, fl := range st.feeds[t].flights {
			for _, r := range fl.sent {
				if _, noted := st.s.shelf.maybe[r.Key]; !noted {
					st.s.shelf.maybe[r.Key] = false
				}
			}
		}
	}
}

// has says that Envoy may have a resource.
func (st *stream) has(f *feed, name string) bool {
	_, maybe := st.s.shelf.maybe[f.key(name)]
	return maybe || f.known[name] != ""
}

// poke has the stream look for something to send.
func (st *stream) poke() {
	select {
	case st.wake <- struct{}{}:
	default:
	}
}

// mark has resources looked at.
func (st *stream) mark(keys ...xds.Key) {
	for _, k := range keys {
		f := st.feeds[k.Type]
		if !f.mark(k.Name) {
			st.s.shelf.forget(k)
			continue
		}
		e := st.s.shelf.entry(k)
		if known := f.known[k.Name]; e != nil && e.acked == "" && known != "" && f.after(0, k.Name) == nil {
			st.s.shelf.has(k, known) // Envoy said so before we knew of it
		}
	}
}
