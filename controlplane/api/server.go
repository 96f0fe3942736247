package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// Options are what a server is made of. Metrics may be nil.
type Options struct {
	Source   Source
	Listener net.Listener // of a Unix socket
	Metrics  net.Listener // for machines that scrape: only /metrics and /ready
	Logger   *slog.Logger
}

// limits bound what clients may take. Tests have others.
type limits struct {
	connections int
	watches     int
	bodies      int
	queue       int           // events that wait for a client that reads slowly
	header      time.Duration // for the request's first part
	request     time.Duration // for all of it: MaxBody over a slow line
	idle        time.Duration // between requests of one connection
	handle      time.Duration // for the agent's answer
	write       time.Duration // for a client to take what is written
	heartbeat   time.Duration // between empty lines of a watch, so that a client that is gone is seen
	watchWrite  time.Duration // as write, for a watch: a person may have stopped the terminal
}

func defaultLimits() limits {
	return limits{
		connections: 64, watches: 16, bodies: 2, queue: 1024,
		header: 10 * time.Second, request: time.Minute, idle: time.Minute,
		handle: time.Minute, write: 30 * time.Second,
		heartbeat: 15 * time.Second, watchWrite: 5 * time.Minute,
	}
}

// maxHeader bounds a request's header, in bytes.
const maxHeader = 16 << 10

// Server serves the agent's local API.
type Server struct {
	source   Source
	logger   *slog.Logger
	limits   limits
	listener *listener
	scraped  net.Listener
	servers  []*http.Server
	counts   *counts
	watching chan struct{} // one slot for each watch
	reading  chan struct{} // one slot for each body that is read

	life context.Context // ends with Stop
	end  context.CancelFunc
	wg   sync.WaitGroup
}

// New makes a server on listeners that are open, and which it closes.
func New(o Options) (*Server, error) { return newServer(o, defaultLimits()) }

func newServer(o Options, l limits) (*Server, error) {
	if o.Source == nil || o.Listener == nil {
		return nil, errors.New("serve API: no source or no listener")
	}
	if _, ok := o.Listener.(*net.UnixListener); !ok {
		return nil, fmt.Errorf("serve API: %s is no Unix socket", o.Listener.Addr())
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{source: o.Source, logger: o.Logger, limits: l, counts: newCounts(), watching: make(chan struct{}, l.watches), reading: make(chan struct{}, l.bodies), scraped: o.Metrics}
	s.listener = newListener(o.Listener, l.connections, s.counts)
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Start serves until Stop. ctx is not kept.
func (s *Server) Start(context.Context) error {
	s.serve(s.listener, s.handler(routes()))
	if s.scraped != nil {
		public := func(r route) bool { return r.path == agentapi.PathMetrics || r.path == agentapi.PathReady }
		s.serve(newListener(s.scraped, s.limits.connections, s.counts), s.handler(only(routes(), public)))
	}
	return nil
}

func (s *Server) serve(l *listener, h http.Handler) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: s.limits.header,
		ReadTimeout:       s.limits.request,
		WriteTimeout:      s.limits.request + s.limits.handle + s.limits.write,
		IdleTimeout:       s.limits.idle,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return s.life },
		ConnContext:       withCaller,
	}
	s.servers = append(s.servers, server)
	s.wg.Go(func() {
		defer l.telling.Wait()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("api ended", "err", err)
		}
	})
}

// Stop ends watches, lets requests end until ctx does, and closes the rest.
func (s *Server) Stop(ctx context.Context) error {
	s.end()
	var failed error
	for _, server := range s.servers {
		if err := server.Shutdown(ctx); err != nil {
			failed = errors.Join(failed, err, server.Close())
		}
	}
	if len(s.servers) == 0 { // never started
		failed = s.listener.Close()
	}
	s.wg.Wait()
	if failed != nil {
		return fmt.Errorf("stop API: %w", failed)
	}
	return nil
}
