package xds

import (
	"bufio"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// echo answers with what came in, and takes WebSockets.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "websocket" {
		conn, stream, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, 4.2.2
		fmt.Fprintf(stream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
		_ = stream.Flush()
		_, _ = io.Copy(conn, stream)
		return
	}
	heard := map[string]string{"method": r.Method, "path": r.URL.RequestURI(), "protocol": r.Proto}
	for name := range r.Header {
		heard[strings.ToLower(name)] = r.Header.Get(name)
	}
	if r.Header.Get("Content-Type") == "application/grpc" {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	}
	_ = json.NewEncoder(w).Encode(heard)
}

// backend serves echo on loopback, in HTTP/2 without TLS or in HTTP/1.1 only.
func backend(t *testing.T, http2 bool) int {
	server := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(!http2)
	server.Config.Protocols.SetUnencryptedHTTP2(http2)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// banner is a server that speaks first, and then says what it hears.
func banner(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				fmt.Fprintln(conn, "hello")
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// loopback is an address of this machine that no other test has: its port is given.
func loopback(t *testing.T) string {
	t.Helper()
	for i := 1; i < 250; i++ {
		address := fmt.Sprintf("127.77.0.%d", i)
		l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, MeshPort-1)) // held while the test runs
		if err == nil {
			t.Cleanup(func() { l.Close() })
			return address
		}
	}
	t.Fatal("all of 127.77.0.0/24 is taken")
	return ""
}

// outward is a listener that calls in the name of a caller, and its cluster.
func outward(b *builder, caller, service, protocol string) {
	name := caller + ">" + service
	cluster := &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, ConnectTimeout: durationpb.New(time.Minute),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(b.in.Config.Hosts["app1"].Address, MeshPort)}},
		}}}}},
	}
	serverName := ServerName(b.in.Config.Domain, service, "", "")
	filter := networkFilter("envoy.filters.network.tcp_proxy", &tcpproxyv3.TcpProxy{StatPrefix: name, ClusterSpecifier: &tcpproxyv3.TcpProxy_Cluster{Cluster: name}})
	if isHTTP(protocol) {
		cluster.TransportSocket, _ = b.clientTLS(caller, service, serverName, alpnHTTP)
		speak(cluster, true, idleClient)
		m := httpManager(name)
		m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: &routev3.RouteConfiguration{VirtualHosts: []*routev3.VirtualHost{{
			Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: name}, Timeout: durationpb.New(0)}},
			}},
		}}}}
		m.HttpFilters = []*hcmv3.HttpFilter{router()}
		filter = managed(m)
	} else {
		cluster.TransportSocket, _ = b.clientTLS(caller, service, serverName, alpnTCP)
	}
	b.add(Cluster, name, cluster, About{})
	b.add(Listener, name, &listenerv3.Listener{
		Name: name, Address: socketAddress("127.0.0.1", 0), FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{filter}}},
	}, About{})
}

// TestRealInbound has a real Envoy take calls for real applications.
func TestRealInbound(t *testing.T) {
	ca := newAuthority(t)
	c := meshOf(map[string]*mesh.Service{
		"web": service(on("app1")), "evil": service(on("app1")),
		"api":      service(on("app1"), mesh.Listen{Protocol: "http"}),
		"ratings":  service(on("app1"), mesh.Listen{Protocol: "grpc"}),
		"postgres": service(on("app1"), mesh.Listen{Protocol: "tcp"}),
		"other":    service(on("app1"), mesh.Listen{Protocol: "tcp"}),
	})
	c.Hosts["app1"].Address = loopback(t)
	c.Telemetry.AccessLog = "all"
	calls(c, "web", "api", "ratings", "postgres")
	calls(c, "evil", "other")
	in := input(t, c,
		runs("api", "", hostfacts.Listen{Protocol: "http", Port: backend(t, false)}),
		runs("ratings", "", hostfacts.Listen{Protocol: "grpc", Port: backend(t, true)}),
		runs("postgres", "", hostfacts.Listen{Protocol: "tcp", Port: banner(t)}),
	)
	in.Facts.Mesh.Roots = string(ca.pem)
	b := &builder{in: in, built: map[Key]*Resource{}}
	b.secrets()
	b.inbound()
	for _, caller := range []string{"web", "evil"} {
		for _, service := range []string{"api", "ratings", "postgres"} {
			outward(b, caller, service, c.Services[service].Listens[0].Protocol)
		}
	}
	e := startEnvoy(t, ca, b.output())
	direct := func(id, name string) *http.Client {
		return client(t, e.address(InboundListener), ca.caller(id, name, "h2"))
	}
	web, evil := ID(testDomain, "web"), ID(testDomain, "evil")

	t.Run("right caller", func(t *testing.T) {
		status, heard := get(t, direct(web, "api.mesh"), "https://api.mesh/a//b/../c?x=1", http.Header{
			"X-Forwarded-Client-Cert": {"URI=spiffe://" + testDomain + "/svc/root"}, "X-Envoy-Upstream-Rq-Timeout-Ms": {"1"}, "X-Envoy-Original-Path": {"/c"},
		})
		if status != 200 || heard["path"] != "/a/c?x=1" || heard["protocol"] != "HTTP/1.1" {
			t.Errorf("got %d %v", status, heard)
		}
		if xfcc := heard["x-forwarded-client-cert"]; !strings.HasSuffix(xfcc, "URI="+web) || strings.Contains(xfcc, "root") {
			t.Errorf("the application is told that %q calls", xfcc)
		}
		for name := range heard {
			if strings.HasPrefix(name, "x-envoy-") {
				t.Errorf("the application gets %s", name)
			}
		}
	})
	t.Run("wrong caller", func(t *testing.T) {
		if status, _ := get(t, direct(evil, "api.mesh"), "https://api.mesh/", nil); status != 403 {
			t.Errorf("got %d, want 403", status)
		}
		e.eventually("the refusal is not in the log", func() bool { return strings.Contains(e.wrote(), "rbac_access_denied_matched_policy[no-edge]") })
	})
	t.Run("rule in the log", func(t *testing.T) {
		e.eventually("what let it pass is not in the log", func() bool { return strings.Contains(e.wrote(), `"rule":"web.edge"`) })
	})
	t.Run("trace in the log", func(t *testing.T) {
		const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736"
		get(t, direct(web, "api.mesh"), "https://api.mesh/traced", http.Header{"Traceparent": {trace + "-00f067aa0ba902b7-01"}})
		get(t, direct(web, "api.mesh"), "https://api.mesh/untraced", nil)
		named := func(path string) (trace string, told bool) {
			_, rest, _ := strings.Cut(e.wrote(), `"path":"`+path+`"`) // the fields are in the order of their names
			line, _, told := strings.Cut(rest, "\n")
			_, trace, _ = strings.Cut(line, `"trace":"`) // it is null before 1.40
			trace, _, _ = strings.Cut(trace, `"`)
			return trace, told
		}
		for path, want := range map[string]string{"/traced": trace, "/untraced": ""} {
			e.eventually(path+" is not in the log", func() bool { _, told := named(path); return told })
			if got, _ := named(path); got != want {
				t.Errorf("the trace of %s is %q in the log, want %q", path, got, want)
			}
		}
	})
	t.Run("header with an underscore", func(t *testing.T) {
		header := http.Header{"X_forwarded_client_cert": {"me"}}
		if status, _ := get(t, http.DefaultClient, "http://"+e.address("web>api")+"/", header); status != 400 {
			t.Errorf("got %d, want 400", status)
		}
		request, _ := http.NewRequest(http.MethodGet, "https://api.mesh/", nil)
		request.Header = header
		if answer, err := direct(web, "api.mesh").Do(request); err == nil {
			t.Errorf("got %s past the caller's own Envoy", answer.Status)
		}
	})
	for name, id := range map[string]string{"no certificate": "", "certificate of another mesh": "spiffe://elsewhere.nixmesh/svc/web"} {
		t.Run(name, func(t *testing.T) {
			if answer, err := direct(id, "api.mesh").Get("https://api.mesh/"); err == nil {
				t.Errorf("got %s", answer.Status)
			}
		})
	}
	t.Run("certificate of another authority", func(t *testing.T) {
		config := ca.caller("", "api.mesh", "h2")
		config.Certificates = newAuthority(t).caller(web, "", "").Certificates
		if answer, err := client(t, e.address(InboundListener), config).Get("https://api.mesh/"); err == nil {
			t.Errorf("got %s", answer.Status)
		}
	})
	t.Run("unknown name", func(t *testing.T) {
		if answer, err := direct(web, "nothing.mesh").Get("https://nothing.mesh/"); err == nil {
			t.Errorf("got %s", answer.Status)
		}
		e.eventually("it is not in the log", func() bool { return strings.Contains(e.wrote(), `"sni":"nothing.mesh"`) })
	})
	t.Run("gRPC", func(t *testing.T) {
		request, _ := http.NewRequest(http.MethodPost, "https://ratings.mesh/pkg.Ratings/Get", strings.NewReader("x"))
		request.Header.Set("Content-Type", "application/grpc")
		answer, err := direct(web, "ratings.mesh").Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		if answer.Trailer.Get("Grpc-Status") != "0" || !strings.Contains(string(body), "HTTP/2.0") {
			t.Errorf("got %s %v %s", answer.Status, answer.Trailer, body)
		}
	})
	t.Run("HTTP between Envoys", func(t *testing.T) {
		for caller, want := range map[string]int{"web": 200, "evil": 403} {
			for _, service := range []string{"api", "ratings"} {
				if status, heard := get(t, http.DefaultClient, "http://"+e.address(caller+">"+service)+"/", nil); status != want {
					t.Errorf("%s calls %s: got %d %v", caller, service, status, heard)
				}
			}
		}
	})
	t.Run("WebSocket", func(t *testing.T) { webSocket(t, e.address("web>api"), 101) })
	t.Run("WebSocket of the wrong caller", func(t *testing.T) { webSocket(t, e.address("evil>api"), 403) })
	t.Run("server speaks first", func(t *testing.T) {
		conn := dial(t, e.address("web>postgres"))
		if heard := line(conn); heard != "hello\n" {
			t.Errorf("got %q", heard)
		}
		fmt.Fprintln(conn, "select 1")
		if heard := line(conn); heard != "select 1\n" {
			t.Errorf("got %q", heard)
		}
	})
	t.Run("wrong caller hears nothing", func(t *testing.T) {
		if heard := line(dial(t, e.address("evil>postgres"))); heard != "" {
			t.Errorf("it hears %q", heard)
		}
	})
	t.Run("wrong caller in another's name", func(t *testing.T) {
		before := e.stat("cluster.local_postgres.upstream_cx_total")
		if conn, err := tls.Dial("tcp", e.address(InboundListener), ca.caller(evil, "postgres.mesh", "nixmesh/web")); err == nil {
			_ = conn.SetDeadline(time.Now().Add(testPatience))
			if heard := line(conn); heard != "" {
				t.Errorf("it hears %q", heard)
			}
		}
		e.eventually("why it was refused is not in the log", func() bool {
			for line := range strings.Lines(e.wrote()) { // since 1.40 it says whom it refused, too
				if strings.Contains(line, `"sni":"postgres.mesh"`) && strings.Contains(line, "verify_cert_failed") {
					return true
				}
			}
			return false
		})
		if after := e.stat("cluster.local_postgres.upstream_cx_total"); after != before {
			t.Errorf("the application got %d connections of it", after-before)
		}
	})
}

func get(t *testing.T, c *http.Client, url string, header http.Header) (int, map[string]string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(request.Header, header)
	answer, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	heard := map[string]string{}
	if err := json.NewDecoder(answer.Body).Decode(&heard); err != nil && answer.StatusCode == 200 {
		t.Fatal(err)
	}
	return answer.StatusCode, heard
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, testPatience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	return conn
}

// line is the next line from a connection, "" when it ends before.
func line(conn net.Conn) string {
	var heard []byte
	for b := make([]byte, 1); ; {
		n, err := conn.Read(b)
		heard = append(heard, b[:n]...)
		if n == 1 && b[0] == '\n' {
			return string(heard)
		}
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			return "timeout after " + string(heard)
		}
		if err != nil {
			return string(heard)
		}
	}
}

// webSocket asks for one, and says something on it where it gets it.
func webSocket(t *testing.T, address string, want int) {
	t.Helper()
	conn := dial(t, address)
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: api\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	reader := bufio.NewReader(conn)
	answer, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != want {
		t.Fatalf("got %s, want %d", answer.Status, want)
	}
	if want != 101 {
		return
	}
	fmt.Fprintln(conn, "ping")
	if heard, _ := reader.ReadString('\n'); heard != "ping\n" {
		t.Errorf("got %q", heard)
	}
}
