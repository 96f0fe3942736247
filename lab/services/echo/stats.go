package main

import (
	"encoding/json"
	"net"
	"net/http"
	"sync/atomic"
)

// stats count from the start of the process.
type stats struct {
	Requests    atomic.Int64 // HTTP, begun; those of /healthz and /stats are not counted
	Aborted     atomic.Int64 // of them: the caller went away before the answer was written
	Connections atomic.Int64 // TCP and WebSocket, taken
	Open        atomic.Int64 // of them: still there
	Bytes       atomic.Int64 // echoed on them
}

// ServeHTTP answers with the counters as JSON.
func (s *stats) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]int64{ // the caller sees what is missing
		"requests": s.Requests.Load(), "aborted": s.Aborted.Load(),
		"connections": s.Connections.Load(), "open": s.Open.Load(), "bytes": s.Bytes.Load(),
	})
}

// count counts the requests that a handler serves.
func (s *stats) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Requests.Add(1)
		defer func() {
			if r.Context().Err() != nil {
				s.Aborted.Add(1)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// opened counts a connection until the function that it returns is called.
func (s *stats) opened() (closed func()) {
	s.Connections.Add(1)
	s.Open.Add(1)
	return func() { s.Open.Add(-1) }
}

// counted counts the bytes that are written to a connection.
type counted struct {
	net.Conn
	stats *stats
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.stats.Bytes.Add(int64(n))
	return n, err
}
