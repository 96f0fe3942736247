package xds

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
	"github.com/nixmesh/nixmesh/mesh"
)

// chatting is a host whose service chat is called by web, and through a gateway that
// an earlier nixmesh let take more headers than fit through the mesh.
func chatting(t *testing.T) (o *outgoing, ways map[string]string) {
	t.Helper()
	o = newOutgoing(t)
	o.config.Hosts["app1"].Address = loopback(t)
	o.to("chat", "http", on("app1"))
	o.endpoints["chat"] = up(o.config, "chat")
	port := envoytest.FreePort(t)
	g := gatewayOf("", []mesh.GatewayListen{{Protocol: "http", Port: port}},
		mesh.GatewayRoute{Host: "chat.mesh", Rule: prefix("/"), Targets: []mesh.Target{to("chat", "", 100)}})
	g.MaxHeaders = 128 << 10
	o.config.Gateways = map[string]*mesh.Gateway{"public": g}
	calls(o.config, "public", "chat")
	o.config.Edges["public"]["chat"].ConnectTimeout = seconds(60)
	application := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var n int
		if _, err := fmt.Sscanf(r.URL.Path, "/long/%d", &n); err == nil {
			w.Header().Set("x-long", strings.Repeat("~", n))
		}
		if _, err := fmt.Sscanf(r.URL.Path, "/many/%d", &n); err == nil {
			for i := range n {
				w.Header().Set(fmt.Sprint("x-", i), "a")
			}
		}
		echo(w, r)
	}))
	t.Cleanup(application.Close)
	o.start(func(in *Input) {
		in.Facts.Instances = append(in.Facts.Instances, runs("chat", "", hostfacts.Listen{Protocol: "http", Port: application.Listener.Addr().(*net.TCPAddr).Port}))
	})
	return o, map[string]string{"a service": o.envoy.address("out:web:chat"), "a gateway": fmt.Sprintf("127.0.0.1:%d", port)}
}

// askRaw gives the status of the answer to a request of HTTP/1.1 with these lines.
func askRaw(t *testing.T, address, path string, lines ...string) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	go func() { // the answer may come before it is all sent
		_, _ = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: chat.mesh\r\n"+strings.Join(lines, "")+"Connection: close\r\n\r\n")
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// long is a header that HTTP/2 cannot make shorter.
func long(name string, bytes int) string {
	return name + ": " + strings.Repeat("~", bytes) + "\r\n"
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "x-%d: a\r\n", i)
	}
	return b.String()
}

// Whoever sends too many headers, or too long ones, is told so. Others, whose calls
// go through the same connections, notice nothing, and no host counts as failing.
func TestEnvoyBoundsHeaders(t *testing.T) {
	o, ways := chatting(t)
	for way, address := range ways {
		t.Run(way, func(t *testing.T) {
			said := openWebSocket(t, address)
			for _, test := range []struct {
				path, lines string
				want        int
			}{
				{"/", long("x-long", 59<<10), 200},
				{"/", long("x-forwarded-for", 59<<10), 200}, // which hops lengthen
				{"/" + strings.Repeat("~", 59<<10), "", 200},
				{"/", long("x-a", 29<<10) + long("x-b", 29<<10), 200},
				{"/", long("x-long", 62<<10), 431},
				{"/", long("x-long", 70<<10), 431},
				{"/", long("x-long", 90<<10), 431},
				{"/", long("x-long", 100<<10), 431},
				{"/", long("x-a", 40<<10) + long("x-b", 40<<10), 431},
				{"/", many(90), 200},
				{"/", many(160), 431},
				{"/", many(195), 431},
				{"/", many(195), 431},
				{"/", many(195), 431},
				{"/", many(195), 431},
				{"/", many(195), 431},
				{"/long/60000", "", 200},
				{"/many/140", "", 200},
			} {
				if got := askRaw(t, address, test.path, test.lines); got != test.want {
					t.Errorf("%.20s… with %.20q… (%d bytes): %d, want %d", test.path, test.lines, len(test.path)+len(test.lines), got, test.want)
				}
				said(t)
			}
			caller := map[string]string{"a service": "web", "a gateway": "public"}[way]
			if n := o.envoy.stat("cluster.u_" + caller + "_chat.outlier_detection.ejections_detected_consecutive_5xx"); n != 0 {
				t.Errorf("%d times a host counted as failing", n)
			}
			// What an application answers is its own fault, and ends nobody else's call.
			for _, path := range []string{"/long/70000", "/long/90000", "/many/170"} {
				if got := askRaw(t, address, path); got != 502 && got != 503 {
					t.Errorf("%s: %d", path, got)
				}
				said(t)
			}
		})
	}
}

// openWebSocket opens one, and gives what sees that it still is.
func openWebSocket(t *testing.T, address string) func(t *testing.T) {
	t.Helper()
	conn, stream := dialWebSocket(t, address)
	return func(t *testing.T) {
		t.Helper()
		_ = conn.SetDeadline(time.Now().Add(testPatience))
		fmt.Fprintln(conn, "hello")
		if line, err := stream.ReadString('\n'); err != nil || line != "hello\n" {
			t.Fatalf("the WebSocket of another: %q %v", line, err)
		}
	}
}
