package xds

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// sendSlowly sends a request's body byte by byte, and says what came back: "" where the
// connection ended, or most was over, without an answer.
func sendSlowly(address, path string, most time.Duration, back chan<- string) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		back <- err.Error()
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 100000\r\n\r\n", path)
	answered := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(conn).ReadString('\n')
		answered <- strings.TrimSpace(line)
	}()
	tick, end := time.NewTicker(20*time.Millisecond), time.After(most)
	defer tick.Stop()
	for {
		select {
		case status := <-answered:
			back <- status
			return
		case <-end:
			back <- ""
			return
		case <-tick.C:
			_, _ = conn.Write([]byte("x")) // a connection that ended shows in the answer
		}
	}
}

// beside does something while n slow clients are active, and tells what was wrong then.
// Each of them is ended. Where they were not active all the while, it is done again
// beside others.
func (f *front) beside(t *testing.T, n int, path string, active func() bool, do func() (wrong string)) {
	t.Helper()
	address := f.address("gw:80")
	f.eventually("the slow ones are not seen beside others", func() bool {
		back := make(chan string, n)
		for range n {
			go sendSlowly(address, path, testPatience, back)
		}
		for !active() && len(back) < n {
			time.Sleep(10 * time.Millisecond)
		}
		wrong := do()
		meant := active()
		if meant && wrong != "" {
			t.Error(wrong)
		}
		for range n {
			if got := <-back; !strings.Contains(got, " 408 ") {
				t.Errorf("a slow client gets %q", got)
			}
		}
		return meant || t.Failed()
	})
}

// Clients that send their bodies byte by byte are ended in time, and where bodies
// are bounded they keep nobody from the service meanwhile.
func TestRealGatewayEndsSlowBodies(t *testing.T) {
	ca := newAuthority(t)
	web, hurried := []mesh.Target{to("web", "", 100)}, mesh.Handling{Patience: mesh.Patience{Timeout: new(seconds(2))}}
	g := gatewayOf("", []mesh.GatewayListen{{Protocol: "http", Port: 80}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/read/"), Targets: web, MaxBody: 1 << 20, Handling: hurried},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/passed/"), Targets: web, Handling: hurried},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/long/"), Targets: web, BodyTimeout: new(seconds(3600)), Handling: hurried},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/streamed/"), Targets: []mesh.Target{to("ratings", "", 100)}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: web, MaxBody: 1 << 20},
	)
	g.BodyTimeout = seconds(1)
	c := outside(g)
	c.Services["ratings"] = service(on("app2"), mesh.Listen{Protocol: "grpc"})
	calls(c, "public", "ratings")
	const circuit = 3
	c.Edges["public"]["web"].Circuit.Requests = circuit
	c.Edges["public"]["web"].Timeout = new(seconds(120)) // for the honest ones
	c.Edges["public"]["web"].Retry = nil
	in := input(t, c)
	in.Facts.Mesh.Roots = string(ca.pem)
	f := startFront(t, ca, in)
	honest := f.from(t, 80, nil)

	t.Run("read before the service is called", func(t *testing.T) {
		f.beside(t, 3*circuit, "/read/", func() bool { return f.active("gw:80") >= 3*circuit }, func() string {
			for range 10 {
				if got := ask(t, honest, "POST", "http://shop.example/", nil, "hello"); got.StatusCode != 200 {
					t.Errorf("an honest client gets %d beside slow ones", got.StatusCode)
				}
			}
			return ""
		})
	})
	t.Run("passed on as they come", func(t *testing.T) {
		f.beside(t, circuit, "/passed/", func() bool { return f.stat("cluster.u_public_web.upstream_rq_active") == circuit }, func() string {
			if got := ask(t, honest, "GET", "http://shop.example/", nil, ""); got.StatusCode != 503 {
				return fmt.Sprintf("beyond the circuit an honest client gets %d", got.StatusCode)
			}
			return ""
		})
		if got := ask(t, honest, "GET", "http://shop.example/", nil, ""); got.StatusCode != 200 {
			t.Errorf("an honest client gets %d after the slow ones", got.StatusCode)
		}
	})
	t.Run("without a bound", func(t *testing.T) {
		for _, path := range []string{"/long/", "/streamed/"} {
			back := make(chan string, 1)
			sendSlowly(f.address("gw:80"), path, 4500*time.Millisecond, back)
			if got := <-back; got != "" {
				t.Errorf("%s is ended with %q", path, got)
			}
		}
	})
}

// A client that does not end its headers is ended in time.
func TestRealGatewayEndsSlowHeaders(t *testing.T) {
	ca := newAuthority(t)
	g := gatewayOf("", []mesh.GatewayListen{{Protocol: "http", Port: 80}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}})
	g.ClientTimeout = seconds(1)
	in := input(t, outside(g))
	in.Facts.Mesh.Roots = string(ca.pem)
	conn := dial(t, startFront(t, ca, in).address("gw:80"))
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: shop.example\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(testPatience))
	if line, _ := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 408 ") {
		t.Errorf("it gets %q", line)
	}
}

// A gateway that holds all connections that outsiders may have keeps nobody of the
// mesh out, and the connections of the mesh that end let no more outsiders in: all
// of which Envoy's own bound of all connections would.
func TestRealGatewayFull(t *testing.T) {
	const most = 3
	ca := newAuthority(t)
	ca.more = map[string]any{"overload_manager": map[string]any{"resource_monitors": []any{map[string]any{
		"name": "envoy.resource_monitors.global_downstream_max_connections",
		"typed_config": map[string]any{
			"@type":                             "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
			"max_active_downstream_connections": most,
		},
	}}}}
	c := outside(gatewayOf("", []mesh.GatewayListen{{Protocol: "http", Port: 80}}, mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}}))
	c.Gateways["public"].Listens = append(c.Gateways["public"].Listens, mesh.GatewayListen{Protocol: "http", Port: 81}) // and half of them are its
	c.Services["near"] = service(on("app1"), mesh.Listen{Protocol: "http"})
	calls(c, "web", "near")
	c.Hosts["app1"].Address = loopback(t)
	in := input(t, c, runs("near", "", hostfacts.Listen{Protocol: "http", Port: backend(t, false)}))
	in.Facts.Mesh.Roots, in.Facts.Mesh.Envoy = string(ca.pem), &hostfacts.Envoy{Connections: 2 * most}
	e := startFront(t, ca, in)
	gateway := e.address("gw:80")
	held := 0
	open := func() bool { // to the gateway, and stay
		conn, err := net.Dial("tcp", gateway)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
		_ = conn.SetReadDeadline(time.Now().Add(testPatience))
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return strings.Contains(line, " 404 ")
	}
	for range most + 2 {
		if open() {
			held++
		}
	}
	if held != most {
		t.Fatalf("%d outsiders were let in, of %d", held, most)
	}
	for range 3 * most { // each by a connection of its own
		near := client(t, e.address(InboundListener), ca.caller(ID(testDomain, "web"), "near.mesh", "h2"))
		if status, _ := get(t, near, "https://near.mesh/", http.Header{}); status != 200 {
			t.Errorf("a caller of the mesh gets %d", status)
		}
		near.CloseIdleConnections()
	}
	e.eventually("the mesh's connections do not end", func() bool { return e.stat("listener.in_mtls.downstream_cx_active") == 0 })
	for range 2 {
		if open() {
			t.Error("an outsider is let in where connections of the mesh ended")
		}
	}
}
