package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
)

// A client gets what the agent says, field by field.
func TestReads(t *testing.T) {
	a := &agent{}
	_, socket := serve(t, a, nil)
	c := client(t, socket)
	status, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, *status, a.Status())
	certs, err := c.Certs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, *certs, a.Certs())
	request, err := c.AuthorityRequest(t.Context())
	if want, _ := a.AuthorityRequest(); err != nil || *request != want {
		t.Errorf("got %+v, %v", request, err)
	}
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	a.mu.Lock()
	a.notReady = errors.New("no mesh configuration yet")
	a.mu.Unlock()
	refused(t, c.Ready(t.Context()), http.StatusServiceUnavailable, "no mesh configuration yet")
}

// same compares two answers by their JSON.
func same(t *testing.T, got, want any) {
	t.Helper()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

// refused holds an error to an answer of the agent.
func refused(t *testing.T, err error, status int, text string) {
	t.Helper()
	var f *agentapi.Failure
	if !errors.As(err, &f) || f.Status != status || !strings.Contains(f.Text, text) {
		t.Errorf("got %#v, want status %d with %q", err, status, text)
	}
}

func TestWrites(t *testing.T) {
	a := &agent{}
	_, socket := serve(t, a, nil)
	c := client(t, socket)
	_, err := c.Document(t.Context(), "")
	refused(t, err, http.StatusNotFound, "no mesh configuration yet")

	large := strings.Repeat("x", 1<<20)
	applied, err := c.Apply(t.Context(), []byte(large))
	if err != nil || applied.Result != agentapi.ApplyInForce || applied.In.Version != 1 {
		t.Errorf("got %+v, %v", applied, err)
	}
	if got, err := c.Document(t.Context(), ""); err != nil || string(got) != large {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
	_, err = c.Document(t.Context(), strings.Repeat("a", 64))
	refused(t, err, http.StatusNotFound, "does not keep")
	_, err = c.Document(t.Context(), "../../etc/shadow")
	refused(t, err, http.StatusBadRequest, "not the hash")
	if applied, err := c.Apply(t.Context(), []byte("forged")); err != nil || applied.Result != agentapi.ApplyRefused || applied.Reason == "" {
		t.Errorf("got %+v, %v", applied, err)
	}
	_, err = c.Apply(t.Context(), nil)
	refused(t, err, http.StatusBadRequest, "empty")

	if err := c.Override(t.Context(), []byte("shift")); err != nil {
		t.Error(err)
	}
	refused(t, c.Override(t.Context(), []byte("late")), http.StatusConflict, "it has expired")
	if err := c.InstallAuthority(t.Context(), []byte("pem")); err != nil || string(a.pem) != "pem" {
		t.Errorf("got %q, %v", a.pem, err)
	}
	for _, by := range a.by {
		if int(by.PID) != os.Getpid() || int(by.UID) != os.Getuid() {
			t.Errorf("the agent was told of %+v", by)
		}
	}
}

// A panic of the agent is answered, counted, and over with the request.
func TestPanic(t *testing.T) {
	a := &agent{}
	s, socket := serve(t, a, nil)
	c := client(t, socket)
	a.status = func() agentapi.Status { panic("bug") }
	_, err := c.Status(t.Context())
	refused(t, err, http.StatusInternalServerError, "panic")
	if err := c.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	if text := string(render(s.counts.metrics())); !strings.Contains(text, "nixmesh_api_panics_total 1\n") || !strings.Contains(text, `{path="/v1/status",code="500"} 1`) {
		t.Error(text)
	}
}

func TestWrongRequests(t *testing.T) {
	_, socket := serve(t, &agent{}, nil)
	for name, c := range map[string]struct {
		request string
		status  string
	}{
		"path":     {"GET /v2/status HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		"method":   {"DELETE /v1/document HTTP/1.1\r\nHost: x\r\n\r\n", "405"},
		"body":     {"GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "413"},
		"length":   {"PUT /v1/document HTTP/1.1\r\nHost: x\r\nContent-Length: 20971521\r\n\r\n", "413"},
		"override": {"PUT /v1/override HTTP/1.1\r\nHost: x\r\nContent-Length: 65537\r\n\r\n", "413"},
		"garbage":  {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400"},
		"header":   {"GET /ready HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("y", 2*maxHeader) + "\r\n\r\n", "431"},
		"escape":   {"GET /v1/%2e%2e/status HTTP/1.1\r\nHost: x\r\n\r\n", "404"},
		"early":    {"PUT /v1/override HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfour", "400"},
	} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		// The server may close before it has read all of it.
		_, _ = io.WriteString(conn, c.request)
		_ = conn.(*net.UnixConn).CloseWrite()
		answer := make([]byte, 12)
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 "+c.status {
			t.Errorf("%s: got %q, %v, want %s", name, answer, err, c.status)
		}
		_ = conn.Close()
	}
}

// A body whose length nobody told is cut off at the bound.
func TestUntoldLength(t *testing.T) {
	_, socket := serve(t, &agent{}, nil)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://agent"+agentapi.PathOverride, io.LimitReader(zeros{}, maxOverride+1))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", answer.StatusCode)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// Machines that scrape reach metrics and readiness over TCP, and nothing else.
func TestScraped(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Source: &agent{}, Listener: unix, Metrics: tcp})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]int{
		"GET /metrics": 200, "GET /ready": 200, "GET /v1/status": 404, "PUT /v1/document": 404, "PUT /metrics": 405,
	} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+tcp.Addr().String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Close = true
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", request, answer.StatusCode, want)
		}
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", tcp.Addr().String()); err == nil {
		_ = c.Close()
		t.Error("the port is open after Stop")
	}
	if _, err := New(Options{Source: &agent{}, Listener: tcp}); err == nil {
		t.Error("it serves writes over the network")
	}
}
