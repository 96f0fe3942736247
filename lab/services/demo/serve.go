package demo

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// drainTime bounds how long requests may go on once the service is told to
// end; it is below systemd's 90 s, so that the service ends by itself.
const drainTime = 20 * time.Second

// Server is a demo service that speaks HTTP.
type Server struct {
	Name   string         // web
	Listen string         // 127.0.0.1:20001
	Mux    *http.ServeMux // its own paths; /healthz is added
	Faults Faults
	Log    *log.Logger

	sick   atomic.Bool  // SIGUSR1 turns it around
	turned atomic.Int64 // when a check saw that first, in ns; 0 = none did yet
}

// Serve listens until the context ends, then lets running requests finish.
func (s *Server) Serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.Log.Printf("listening on %s", listener.Addr())
	turns := make(chan os.Signal, 1)
	signal.Notify(turns, syscall.SIGUSR1)
	defer signal.Stop(turns)
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, Protocols: &http.Protocols{}}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	for ctx.Err() == nil {
		select {
		case err := <-ended:
			return fmt.Errorf("serve: %w", err)
		case <-turns:
			s.sick.Store(!s.sick.Load())
			s.turned.Store(0)
		case <-ctx.Done():
		}
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	err = server.Shutdown(drain)
	if stopped := <-ended; err == nil && !errors.Is(stopped, http.ErrServerClosed) {
		err = stopped
	}
	if err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// Handler is the service's own paths with the health check and the faults.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.Mux)
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /turned", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s.turned.Load()) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sleep(r.Context(), s.Faults.Slow)
		mux.ServeHTTP(w, r)
	})
}

// health answers whether the service is well, and logs why when it is not:
// what an operator then finds in the unit's journal.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	s.turned.CompareAndSwap(0, time.Now().UnixNano())
	if s.Faults.FailHealth {
		s.Log.Print("unhealthy: FAIL_HEALTH=1")
		http.Error(w, "unhealthy: FAIL_HEALTH=1", http.StatusServiceUnavailable)
		return
	}
	if s.sick.Load() {
		http.Error(w, "unhealthy: SIGUSR1", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// Self is one line about who answers: service, version, host.
func Self(name string) string {
	line := name
	if version := os.Getenv("NIXMESH_VERSION"); version != "" {
		line += "@" + version
	}
	host := os.Getenv("NIXMESH_HOST")
	if host == "" {
		host, _ = os.Hostname() // an unknown name is an empty one
	}
	return line + " on " + host
}
