package api

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
)

// Whatever a client sends, the agent answers with a status and does not panic.
func FuzzRequest(f *testing.F) {
	for _, r := range routes() {
		f.Add([]byte(r.method + " " + r.path + " HTTP/1.1\r\nHost: agent\r\nContent-Length: 4\r\n\r\nbody"))
		f.Add([]byte(r.method + " " + r.path + "?config=" + strings.Repeat("a", 64) + " HTTP/1.1\r\nHost: agent\r\n\r\n"))
	}
	f.Add([]byte("PUT /v1/override HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"))
	l, err := net.Listen("unix", f.TempDir()+"/s")
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		if err != nil {
			return
		}
		s, err := newServer(Options{Source: &agent{}, Listener: l}, defaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.WithValue(t.Context(), callerKey{}, caller{known: true})
		if r.URL.Path == agentapi.PathWatch { // it lasts
			over, end := context.WithCancel(ctx)
			end()
			ctx = over
		}
		w := httptest.NewRecorder()
		s.handler(routes()).ServeHTTP(w, r.WithContext(ctx))
		if w.Code < 200 || w.Code > 599 || s.counts.panics > 0 && !bytes.Contains(text, []byte("poison")) {
			t.Errorf("status %d, %d panics", w.Code, s.counts.panics)
		}
	})
}
