package xds

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
	"github.com/nixmesh/nixmesh/mesh"
)

// greeter is a host that runs a version of a service of TCP: it says by which name
// it was asked for, and who asked.
func greeter(t *testing.T, ca *authority, service, version string) catalog.Endpoint {
	t.Helper()
	config := serving(t, ca, service, alpnTCP)
	config.NextProtos = nil // whatever is offered
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
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
				if err := conn.(*tls.Conn).HandshakeContext(t.Context()); err == nil {
					state := conn.(*tls.Conn).ConnectionState()
					fmt.Fprintf(conn, "%s by %s\n", state.ServerName, state.PeerCertificates[0].URIs[0])
				}
			}()
		}
	}()
	return endpointAt(l, service, version)
}

// dial gives the first line that a server says, "" where it says nothing.
func (o *outgoing) dial(t *testing.T, name string) string {
	t.Helper()
	conn, err := net.DialTimeout("tcp", o.envoy.address("out:web:"+name), testPatience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(testPatience))
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

// Connections go to versions by their shares, asked for by their names, and to others
// where nobody is left.
func TestEnvoyConnectsAsConfigured(t *testing.T) {
	o := newOutgoing(t)
	both := func(name string) *mesh.Service {
		s, _ := o.to(name, "tcp", versions("v1", "v2"), greeter(t, o.ca, name, "v1"), greeter(t, o.ca, name, "v2"))
		return s
	}
	both("shared").Split = map[string]mesh.Percent{"v1": 50, "v2": 50}
	house := greeter(t, o.ca, "house", "v1") // both versions are on one host, behind one port
	flat := house
	flat.Version = "v2"
	s, _ := o.to("house", "tcp", versions("v1", "v2"), house, flat)
	s.Split = map[string]mesh.Percent{"v1": 50, "v2": 50}
	both("moved").Split = map[string]mesh.Percent{"v2": 100}
	_, e := o.to("down", "redis", on("app2"), greeter(t, o.ca, "moved", "")) // which is another service's
	e.Outlier.Errors = 0
	_, e = o.to("standby", "tcp", on("app2"))
	e.Failover.To = []string{"moved"}
	alive := greeter(t, o.ca, "again", "")
	dead := alive
	dead.Host, dead.Port = "dead", uint16(envoytest.FreePort(t)) // where nobody listens
	_, e = o.to("again", "tcp", on("app1", "app2"), dead, alive)
	e.LB, e.Outlier.Errors = "round_robin", 0
	e.Retry = &mesh.Retry{Attempts: 1, On: mesh.Names{"connect"}, Backoff: mesh.Duration(time.Millisecond), Budget: 20}
	o.start()

	asWeb := " by " + ID(testDomain, "web") + "\n"
	for _, c := range []struct {
		name string
		want map[string]bool
	}{
		{"shared", map[string]bool{"v-v1.shared.mesh" + asWeb: true, "v-v2.shared.mesh" + asWeb: true}},
		{"house", map[string]bool{"v-v1.house.mesh" + asWeb: true, "v-v2.house.mesh" + asWeb: true}},
		{"moved", map[string]bool{"v-v2.moved.mesh" + asWeb: true}},
		{"down", map[string]bool{"": true}},
		{"standby", map[string]bool{"v-v2.moved.mesh" + asWeb: true}},
		{"again", map[string]bool{"again.mesh" + asWeb: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]bool{}
			for range 30 {
				got[o.dial(t, c.name)] = true
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// named is a certificate for a name of DNS.
func (a *authority) named(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(3), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// An external is asked by its own name, over TLS that is begun here, and told
// nothing of the mesh; one that shows another name gets nothing.
func TestEnvoyCallsExternals(t *testing.T) {
	o := newOutgoing(t)
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, o.ca.pem, 0o600); err != nil {
		t.Fatal(err)
	}
	external := func(name, protocol, tlsMode, shows string) {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, r.TLS.ServerName)
			for _, header := range []string{"X-Forwarded-Proto", "X-Request-Id", "X-Forwarded-For", "X-Envoy-Attempt-Count", "X-Forwarded-Client-Cert"} {
				if r.Header.Get(header) != "" {
					fmt.Fprint(w, " ", header)
				}
			}
		}))
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{Certificates: []tls.Certificate{o.ca.named(shows)}}
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		at := server.Listener.Addr().(*net.TCPAddr)
		if o.config.Externals == nil {
			o.config.Externals = map[string]*mesh.External{}
		}
		o.config.Externals[name] = &mesh.External{Protocol: protocol, TLS: tlsMode, Hosts: []mesh.Endpoint{{Host: "localhost", Port: at.Port}}}
		if tlsMode == tlsOriginate {
			o.config.Externals[name].CA, o.config.Externals[name].ServerName = "roots.pem", "api.example"
		}
		calls(o.config, "web", name)
	}
	external("stripe", "http", tlsOriginate, "api.example")
	external("fast", "http2", tlsOriginate, "api.example")
	external("thief", "http", tlsOriginate, "other.example")
	external("opaque", "http", tlsPassthrough, "login.example")
	o.start(func(in *Input) {
		for name := range o.config.Externals {
			in.Facts.Mesh.Externals = append(in.Facts.Mesh.Externals, hostfacts.External{Name: name, CA: file})
		}
		in.File = os.ReadFile
	})
	port := func(name string) int { return o.config.Externals[name].Hosts[0].Port }

	if code, body := o.get(t, "stripe", "/"); code != 200 || body != fmt.Sprintf("HTTP/1.1 api.example:%d api.example", port("stripe")) {
		t.Errorf("stripe: %d %s", code, body)
	}
	if code, body := o.get(t, "fast", "/"); code != 200 || body != fmt.Sprintf("HTTP/2.0 api.example:%d api.example", port("fast")) {
		t.Errorf("fast: %d %s", code, body)
	}
	if code, body := o.get(t, "thief", "/"); code != 503 {
		t.Errorf("thief: %d %s", code, body)
	}
	roots := x509.NewCertPool()
	roots.AddCert(o.ca.cert)
	own := client(t, o.envoy.address("out:web:opaque"), &tls.Config{RootCAs: roots, ServerName: "login.example"})
	answer, err := own.Get("https://login.example/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, _ := io.ReadAll(answer.Body); string(body) != "HTTP/2.0 login.example login.example" {
		t.Errorf("opaque: %s", body)
	}
}
