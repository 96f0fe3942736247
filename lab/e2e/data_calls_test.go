package e2e

import (
	"bufio"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// testProtocols calls a service of each protocol, which sees who calls.
func testProtocols(t *testing.T, web *caller, id string) {
	h1, h2 := web.Client(false), web.Client(true)
	defer h1.CloseIdleConnections()
	defer h2.CloseIdleConnections()
	for _, tt := range []struct {
		name, url, proto string
		client           *http.Client
	}{
		{"http", "http://plain.mesh/a?b=c", "HTTP/1.1", h1},
		{"http, called with HTTP/2", "http://plain.mesh/a?b=c", "HTTP/1.1", h2},
		{"http2", "http://newer.mesh/a?b=c", "HTTP/2.0", h2},
		{"http2, called with HTTP/1.1", "http://newer.mesh/a?b=c", "HTTP/2.0", h1},
	} {
		request, err := http.NewRequest(http.MethodPost, tt.url, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Forwarded-Client-Cert", "By=spiffe://x/svc/x;URI=spiffe://x/svc/forged")
		response, err := tt.client.Do(request)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		for _, want := range []string{"caller " + id + "\n", "POST /a?b=c " + tt.proto, "\n\nbody"} {
			if err != nil || response.StatusCode != 200 || !strings.Contains(string(body), want) || strings.Contains(string(body), "forged") {
				t.Errorf("%s: %d, %v, want %q in %s", tt.name, response.StatusCode, err, want, body)
			}
		}
	}
	t.Run("grpc", func(t *testing.T) {
		s, err := stream(t.Context(), h2, "http://rpc.mesh/nixmesh.lab.Echo/Stream")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"one", "two"} {
			message := append([]byte{0x0a, byte(len(text))}, text...) // StringValue
			if got, err := s.echo(message); err != nil || string(got) != string(message) {
				t.Fatalf("sent %q, got %q, %v", message, got, err)
			}
		}
		if err := s.end(); err != nil {
			t.Error(err)
		}
	})
	t.Run("websocket", func(t *testing.T) {
		for _, name := range []string{"plain.mesh", "narrow.mesh"} { // on any host, and on the second
			w := web.webSocket(t, name)
			defer w.Close()
			for _, text := range []string{"one", "two"} {
				if err := w.echo(text); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	})
	t.Run("tcp", func(t *testing.T) {
		conn, err := web.DialContext(t.Context(), "tcp", "pipe.mesh:7000")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if got, err := sayLine(conn, bufio.NewReader(conn), "hello"); err != nil || got != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	t.Run("server first", func(t *testing.T) {
		conn, err := web.DialContext(t.Context(), "tcp", "banner.mesh:7001")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := bufio.NewReader(conn)
		if got, err := sayLine(conn, r, ""); err != nil || got != "banner on h2" {
			t.Errorf("got %q, %v", got, err)
		}
		if got, err := sayLine(conn, r, "hello"); err != nil || got != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// testAllow: methods and paths narrow a caller, and shadow only counts.
func (f *fleet) testAllow(t *testing.T, web *caller) {
	client := web.Client(false)
	defer client.CloseIdleConnections()
	for request, status := range map[[2]string]int{
		{"GET", "/open/x"}: 200, {"GET", "/open"}: 403, {"GET", "/"}: 403, {"POST", "/open/x"}: 403, {"GET", "/open/../x"}: 403, {"GET", "/open%2f..%2fx"}: 403,
	} {
		if s := one(client, request[0], "http://narrow.mesh"+request[1]); s.err != nil || s.status != status && (status != 403 || s.status != 400) {
			t.Errorf("%v: want %d, got %s", request, status, s)
		}
	}
	f.as("h1", "nm-guest").wantStatus(t, "http://narrow.mesh/anywhere", 200) // what shadow would refuse
	metric := func() string {
		return f.ssh("h2", "curl -s --unix-socket /run/nixmesh/envoy-admin.sock 'http://envoy/stats?filter=shadow_denied&usedonly'").stdout
	}
	until(t, "the shadow rule counts", func() bool { return regexp.MustCompile(`shadow_denied: [1-9]`).MatchString(metric()) })
}

// testPatience: the caller's timeout and retries act.
func testPatience(t *testing.T, web *caller) {
	if s := web.get("http://narrow.mesh/open/?sleep=20s"); s.status != http.StatusGatewayTimeout {
		t.Errorf("an answer that takes 20 s, with a timeout of 8 s: %s", s)
	}
	if s := web.get("http://narrow.mesh/open/?fail=2&key=thrice"); s.status != 200 || !strings.Contains(s.body, "attempt 3\n") {
		t.Errorf("the third of three attempts: %s", s)
	}
	if s := web.get("http://narrow.mesh/open/?status=500"); s.status != 500 {
		t.Errorf("500 is not asked for again: %s", s)
	}
	if s := web.get("http://narrow.mesh/open/?fail=9&key=often"); s.status != 503 || !strings.Contains(s.body, "attempt 3\n") && !strings.Contains(s.body, "attempt 4\n") {
		t.Errorf("one that fails each time: %s", s)
	}
}

// testExternal: calls outside leave with TLS, to who proves the name alone.
func (f *fleet) testExternal(t *testing.T, web *caller) {
	s := web.get("http://pay.mesh/v1/charges")
	for _, want := range []string{"the lab answers for pay", "GET /v1/charges", "server name: pay.example"} {
		if s.status != 200 || !strings.Contains(s.body, want) {
			t.Errorf("want %q: %s", want, s)
		}
	}
	if strings.Contains(s.body, "x-envoy") || strings.Contains(s.body, "x-forwarded-client-cert") {
		t.Errorf("it is told of the mesh: %s", s)
	}
	conn, err := web.DialContext(t.Context(), "tcp", "line.mesh:9000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got, err := sayLine(conn, bufio.NewReader(conn), "hello"); err != nil || got != "hello" {
		t.Errorf("tcp: got %q, %v", got, err)
	}
	// The lab goes on to answer for pay.example.
	f.external("pay", "other.example")
	f.wantTaken(t, f.run("mesh", "apply", "-y"))
	if s := web.wantStatus(t, "http://pay.mesh/v1/charges", 503); strings.Contains(s.body, "the lab answers") {
		t.Errorf("a server of another name: %s", s)
	}
	f.external("pay", "pay.example")
	f.wantTaken(t, f.run("mesh", "apply", "-y"))
	web.wantStatus(t, "http://pay.mesh/v1/charges", 200)
}
