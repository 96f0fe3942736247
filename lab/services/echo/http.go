package main

import (
	"context"
	"net/http"

	"github.com/coder/websocket"

	"github.com/nixmesh/nixmesh/lab/services/demo"
)

// maxMessage bounds a message of a WebSocket.
const maxMessage = 1 << 20

// serveHTTP answers HTTP/1.1 and HTTP/2 on one address.
func (e *echo) serveHTTP(ctx context.Context, address string) error {
	mux := http.NewServeMux()
	mux.Handle("/", e.stats.count(&demo.Echo{Name: e.name}))
	mux.HandleFunc("/ws", e.webSocket)
	mux.Handle("GET /stats", &e.stats)
	s := &demo.Server{Name: e.name, Listen: address, Mux: mux, Faults: e.faults, Log: e.log}
	return s.Serve(ctx)
}

// webSocket echoes messages until the caller closes.
func (e *echo) webSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // the caller was told
	}
	defer e.stats.opened()()
	defer conn.CloseNow() //nolint:errcheck // closed, or broken
	conn.SetReadLimit(maxMessage)
	for {
		kind, message, err := conn.Read(r.Context())
		if err == nil {
			err = conn.Write(r.Context(), kind, message)
		}
		if err != nil {
			return
		}
		e.stats.Bytes.Add(int64(len(message)))
	}
}
