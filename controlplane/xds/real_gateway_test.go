package xds

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

// TestRealGateway has a real Envoy take what comes from outside.
func TestRealGateway(t *testing.T) {
	ca := newAuthority(t)
	until := time.Now().Add(time.Hour)
	ca.given = map[string]Leaf{
		"gw:public":                ca.server(until, "shop.example", "inside.example"),
		"gw:public:*.shop.example": ca.server(until, "*.shop.example"),
		"gw:staff":                 ca.server(until, "staff.example", "admin.shop.example"),
	}
	web := []mesh.Target{to("web", "", 100)}
	g := gatewayOf(mesh.CertMeshCA,
		[]mesh.GatewayListen{
			{Protocol: "http", Port: 80, Redirect: true}, {Protocol: "https", Port: 443},
			{Protocol: "tcp", Port: 5432, Service: "postgres", From: mesh.Names{"127.0.0.0/8"}},
			{Protocol: "tcp", Port: 5433, Service: "postgres", From: mesh.Names{"192.0.2.0/24"}},
		},
		mesh.GatewayRoute{Host: "shop.example", Rule: exact("/old"), Handling: mesh.Handling{Redirect: &mesh.Redirect{To: "/new", Status: 303}}},
		mesh.GatewayRoute{
			Host: "shop.example", Rule: prefix("/api/"), Targets: []mesh.Target{to("api", "", 100)}, MaxBody: 1000,
			CORS:     &mesh.CORS{Origins: mesh.Names{"https://page.example"}, Methods: mesh.Names{"PUT"}, Credentials: true},
			Handling: mesh.Handling{Rewrite: "/", Request: &mesh.HeaderChange{Set: map[string]string{"x-user": "nobody"}}},
		},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/slow/"), Targets: web, Handling: mesh.Handling{Limit: &mesh.Limit{Count: 1, Per: seconds(3600), Burst: 2, By: "client"}}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/parts/"), Targets: []mesh.Target{to("api", "v2", 30), to("web", "", 70)}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/kept/"), Targets: []mesh.Target{to("api", "v2", 30), to("web", "", 70)}, Handling: mesh.Handling{Sticky: "part"}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: web},
		mesh.GatewayRoute{Host: "*.shop.example", Rule: prefix("/"), Targets: web},
		mesh.GatewayRoute{Host: "named.shop.example", Rule: prefix("/"), Targets: web},
		mesh.GatewayRoute{Host: "inside.example", Rule: prefix("/"), Targets: web, Auth: mesh.Names{"staff"}},
	)
	g.TLS = map[string]*mesh.Certificate{"*.shop.example": {Source: mesh.CertMeshCA}}
	g.Auths = map[string]*mesh.Auth{"staff": {Service: "web", Timeout: seconds(60), Claims: map[string]string{"sub": "x-user"}}}
	g.ClientTimeout, g.MaxHeaders, g.Compress = mesh.Duration(testPatience), 8<<10, true
	c := outside(g)
	c.Services["api"].Routes = []mesh.Route{
		{Rule: prefix("/reports/"), To: "v2", Handling: mesh.Handling{Rewrite: "/r/"}},
		{Rule: exact("/health"), Handling: mesh.Handling{Respond: &mesh.Respond{Status: 200, Body: "well"}}},
	}
	c.Gateways["staff"] = gatewayOf(mesh.CertMeshCA, []mesh.GatewayListen{{Protocol: "https", Port: 443}, {Protocol: "http", Port: 9090}},
		mesh.GatewayRoute{Host: "staff.example", Rule: prefix("/"), Targets: []mesh.Target{to("api", "v1", 100)}},
		mesh.GatewayRoute{Host: "admin.shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("api", "v1", 100)}})
	c.Gateways["staff"].Connections = 4
	c.Gateways["staff"].Listens[1].Port = 9090
	calls(c, "staff", "api")
	in := input(t, c)
	in.Facts.Mesh.Roots = string(ca.pem)
	g.Connections = 10_000
	f := startFront(t, ca, in)

	secure := f.from(t, 443, nil)
	t.Run("to HTTPS", func(t *testing.T) {
		got := ask(t, f.from(t, 80, nil), "POST", "http://shop.example/a?b=1", nil, "x")
		if got.StatusCode != 308 || got.Header.Get("location") != "https://shop.example/a?b=1" {
			t.Errorf("got %d to %q", got.StatusCode, got.Header.Get("location"))
		}
		if got := ask(t, f.from(t, 80, nil), "GET", "http://other.example/", nil, ""); got.StatusCode != 404 {
			t.Errorf("an unknown host gets %d", got.StatusCode)
		}
	})
	t.Run("headers from outside", func(t *testing.T) {
		got := ask(t, secure, "GET", "https://shop.example/x", http.Header{
			"x-forwarded-client-cert": {"URI=spiffe://" + testDomain + "/svc/root"}, "x-envoy-upstream-rq-timeout-ms": {"1"}, "x-envoy-peer": {"me"},
			"x-user": {"anna"}, "x-forwarded-for": {"10.0.0.1"}, "x-forwarded-proto": {"http"}, "x-request-id": {"mine"},
		}, "")
		if got.StatusCode != 200 || got.heard["path"] != "/x" || got.Header.Get("x-cluster") != "u:public:web" {
			t.Fatalf("got %d of %s: %s", got.StatusCode, got.Header.Get("x-cluster"), got.body)
		}
		for name, value := range got.heard {
			if strings.HasPrefix(name, "x-envoy-") && name != "x-envoy-external-address" || name == "x-forwarded-client-cert" || name == "x-user" {
				t.Errorf("the service hears %s: %s", name, value)
			}
		}
		// What came is hearsay; behind it stands who called: for loopback, Envoy's own address.
		if xff := got.heard["x-forwarded-for"]; !strings.HasPrefix(xff, "10.0.0.1,") || got.heard["x-forwarded-proto"] != "https" {
			t.Errorf("the service hears of a client %q by %q", xff, got.heard["x-forwarded-proto"])
		}
		if got.heard["x-request-id"] == "mine" || got.heard["x-request-id"] == "" {
			t.Errorf("the request's id is %q", got.heard["x-request-id"])
		}
	})
	t.Run("protocols", func(t *testing.T) {
		if got := ask(t, secure, "GET", "https://shop.example/", nil, ""); got.ProtoMajor != 2 {
			t.Errorf("answered in %s", got.Proto)
		}
		old := f.from(t, 443, func(c *tls.Config) { c.NextProtos, c.MaxVersion = []string{"http/1.1"}, tls.VersionTLS12 })
		old.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		if got := ask(t, old, "GET", "https://shop.example/", nil, ""); got.ProtoMajor != 1 || got.TLS.Version != tls.VersionTLS12 {
			t.Errorf("answered in %s over %x", got.Proto, got.TLS.Version)
		}
		older := f.from(t, 443, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
		if _, err := older.Get("https://shop.example/"); err == nil {
			t.Error("TLS 1.1 is taken")
		}
	})
	t.Run("names and certificates", func(t *testing.T) {
		for _, test := range []struct {
			serverName, host string
			status           int
			certificate      string
		}{
			{"shop.example", "shop.example", 200, "shop.example"},
			{"shop.example", "SHOP.example.:443", 200, "shop.example"},
			{"a.shop.example", "a.shop.example", 200, "*.shop.example"},
			{"a.shop.example", "b.shop.example", 200, "*.shop.example"},
			{"named.shop.example", "named.shop.example", 200, "*.shop.example"},
			{"shop.example", "named.shop.example", 421, "shop.example"},
			{"admin.shop.example", "admin.shop.example", 200, "staff.example"},
			{"admin.shop.example", "a.shop.example", 421, "staff.example"},
			{"a.shop.example", "admin.shop.example", 421, "*.shop.example"},
			{"a.shop.example", "shop.example", 421, "*.shop.example"},
			{"shop.example", "a.shop.example", 421, "shop.example"},
			{"shop.example", "staff.example", 421, "shop.example"},
			{"staff.example", "staff.example", 200, "staff.example"},
			{"staff.example", "shop.example", 421, "staff.example"},
			{"shop.example", "other.example", 404, "shop.example"},
			{"other.example", "other.example", 404, "shop.example"},
			{"other.example", "shop.example", 200, "shop.example"},
			{"shop.example", "inside.example", 503, "shop.example"},
		} {
			c := f.from(t, 443, func(c *tls.Config) { c.ServerName, c.InsecureSkipVerify = test.serverName, true })
			got := ask(t, c, "GET", "https://"+test.serverName+"/", http.Header{"host": {test.host}}, "")
			if served := got.TLS.PeerCertificates[0].DNSNames[0]; got.StatusCode != test.status || served != test.certificate {
				t.Errorf("%s by the connection for %s: %d on the certificate of %s, want %d on %s's", test.host, test.serverName, got.StatusCode, served, test.status, test.certificate)
			}
		}
	})
	t.Run("routes", func(t *testing.T) {
		for _, test := range []struct {
			path, cluster, heard string
			status               int
		}{
			{"/", "u:public:web", "/", 200},
			{"/old", "", "", 303},
			{"/api/reports/7?a=1", "u:public:api@v2", "/r/7?a=1", 200},
			{"/api/health", "", "", 200},
			{"/x/../api//reports/7", "u:public:api@v2", "/r/7", 200},
			{"/api%2freports/8", "u:public:api@v2", "/r/8", 200},
			{"/apix", "u:public:web", "/apix", 200},
		} {
			got := ask(t, secure, "GET", "https://shop.example"+test.path, nil, "")
			if got.StatusCode != test.status || got.Header.Get("x-cluster") != test.cluster || got.heard["path"] != test.heard {
				t.Errorf("%s: %d of %q with %q, want %d of %q with %q", test.path, got.StatusCode, got.Header.Get("x-cluster"), got.heard["path"], test.status, test.cluster, test.heard)
			}
		}
		if got := ask(t, secure, "GET", "https://shop.example/api/x", http.Header{"x-user": {"anna"}}, ""); got.heard["x-user"] != "nobody" {
			t.Errorf("a header that the route sets is %q", got.heard["x-user"])
		}
	})
	t.Run("parts", func(t *testing.T) {
		count := map[string]int{}
		const asked = 600
		for range asked {
			count[ask(t, secure, "GET", "https://shop.example/parts/", nil, "").Header.Get("x-cluster")]++
		}
		if part := count["u:public:api@v2"]; part < asked/5 || part > asked*2/5 || part+count["u:public:web"] != asked {
			t.Errorf("of %d requests, %v", asked, count)
		}
		first := ask(t, secure, "GET", "https://shop.example/kept/", nil, "")
		cookie := first.Header.Get("set-cookie")
		kept, _, _ := strings.Cut(cookie, ";")
		for range 40 {
			got := ask(t, secure, "GET", "https://shop.example/kept/", http.Header{"cookie": {kept}}, "")
			if got.Header.Get("x-cluster") != first.Header.Get("x-cluster") || got.Header.Get("set-cookie") != "" {
				t.Fatalf("with %q a client comes to %s, and was at %s", cookie, got.Header.Get("x-cluster"), first.Header.Get("x-cluster"))
			}
		}
	})
	t.Run("other pages", func(t *testing.T) {
		question := func(origin, method string) answered {
			return ask(t, secure, "OPTIONS", "https://shop.example/api/x", http.Header{"origin": {origin}, "access-control-request-method": {method}}, "")
		}
		got := question("https://page.example", "PUT")
		if got.StatusCode != 200 || got.Header.Get("access-control-allow-origin") != "https://page.example" || got.Header.Get("access-control-allow-methods") != "PUT" {
			t.Errorf("a page that may call gets %d %v", got.StatusCode, got.Header)
		}
		if got := question("https://evil.example", "PUT"); got.Header.Get("access-control-allow-origin") != "" || got.heard != nil {
			t.Errorf("another page gets %d %v", got.StatusCode, got.Header)
		}
		if got := ask(t, secure, "OPTIONS", "https://shop.example/api/x", nil, ""); got.heard["method"] != "OPTIONS" {
			t.Errorf("an OPTIONS that no page asks gets %d", got.StatusCode)
		}
	})
	t.Run("bounds", func(t *testing.T) {
		if got := ask(t, secure, "POST", "https://shop.example/api/x", nil, strings.Repeat("x", 40_000)); got.StatusCode != 413 {
			t.Errorf("a long body gets %d", got.StatusCode)
		}
		if got := ask(t, secure, "POST", "https://shop.example/api/x", nil, strings.Repeat("x", 900)); got.StatusCode != 200 {
			t.Errorf("a short body gets %d", got.StatusCode)
		}
		plain := f.from(t, 443, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })
		plain.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		if got := ask(t, plain, "GET", "https://shop.example/", http.Header{"x-long": {strings.Repeat("x", 9<<10)}}, ""); got.StatusCode != 431 {
			t.Errorf("long headers get %d", got.StatusCode)
		}
		var statuses []int
		for range 3 {
			statuses = append(statuses, ask(t, secure, "GET", "https://shop.example/slow/", nil, "").StatusCode)
		}
		if !slices.Equal(statuses, []int{200, 200, 429}) {
			t.Errorf("the rate of one client gives %v", statuses)
		}
	})
	t.Run("compressed", func(t *testing.T) {
		got := ask(t, secure, "GET", "https://shop.example/long", http.Header{"accept-encoding": {"gzip"}}, "")
		if got.Header.Get("content-encoding") != "gzip" || len(got.body) > 1000 {
			t.Fatalf("%d bytes, encoded as %q", len(got.body), got.Header.Get("content-encoding"))
		}
		reader, err := gzip.NewReader(strings.NewReader(got.body))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(reader); err != nil || len(text) != 10_000 {
			t.Errorf("%d bytes came out, %v", len(text), err)
		}
	})
	t.Run("upgraded", func(t *testing.T) {
		dialer := &tls.Dialer{Config: &tls.Config{ServerName: "shop.example", NextProtos: []string{"http/1.1"}, RootCAs: secure.Transport.(*http.Transport).TLSClientConfig.RootCAs}}
		conn, err := dialer.DialContext(t.Context(), "tcp", f.address("gw:443"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /api/ws HTTP/1.1\r\nHost: shop.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
		_ = conn.SetDeadline(time.Now().Add(testPatience))
		reader := bufio.NewReader(conn)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil || answer.StatusCode != 101 {
			t.Fatalf("got %v, %v", answer, err)
		}
		fmt.Fprint(conn, "hello")
		heard := make([]byte, 5)
		if _, err := io.ReadFull(reader, heard); err != nil || string(heard) != "hello" {
			t.Errorf("heard %q, %v", heard, err)
		}
	})
	t.Run("TCP", func(t *testing.T) {
		said := func(port int) string {
			conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", f.address(gatewayListenerName(port)))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(testPatience))
			line, _ := bufio.NewReader(conn).ReadString('\n')
			return line
		}
		if got := said(5432); got != "hello\n" {
			t.Errorf("who may connect hears %q", got)
		}
		if got := said(5433); got != "" {
			t.Errorf("who may not connect hears %q", got)
		}
	})
	t.Run("connections", func(t *testing.T) {
		address, open := f.address("gw:9090"), 0
		for range 6 {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n")
			_ = conn.SetReadDeadline(time.Now().Add(testPatience))
			if line, _ := bufio.NewReader(conn).ReadString('\n'); strings.Contains(line, " 404 ") {
				open++
			}
		}
		if open != 4 {
			t.Errorf("%d connections were taken, of 4", open)
		}
	})
}
