package e2e

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// echoService is a service of the lab's echo on hosts, in one protocol.
func echoService(name, on, flag, listen, check, more string) string {
	return fmt.Sprintf(`service %q {
  on      = [%s]
  package = "web"
  exec    = "bin/echo %s 127.0.0.1:$PORT"

  %s
  %s
%s
}`, name, on, flag, listen, check, more)
}

// Parts of echo services.
const (
	listenHTTP = `listen "http" {}`
	checkHTTP  = `check { http = "/healthz" }`
	everyHost  = `"*"`
	secondHost = `"h2"`

	// A service of TCP that says what it counted by HTTP, to its own host.
	listenPipe = `listen "tcp" {
    name = "line"
    port = 7000
  }
  listen "http" { name = "stats" }`
	flagsPipe = "--http 127.0.0.1:$PORT_STATS --tcp"
	checkPipe = `check {
    http   = "/healthz"
    listen = "stats"
  }`

	// As patient as a caller may be: nothing is held back that could be tried again,
	// however many tries a busy machine makes of it.
	patientWeb = `  upstream "plain" {
    timeout = "60s"
    retry {
      attempts = 5
      on       = ["connect", "refused", "reset", "5xx"]
      per_try  = "4s"
      budget   = 100
    }
    circuit { retries = 1000 }
  }`
	guestOfNarrow = `  upstream "narrow" { connect_timeout = "20s" }`
	narrowAllow   = `  allow "web" {
    methods = ["GET"]
    paths   = ["/open/", "/ws"]
  }
  allow "guest" {
    methods = ["PUT"]
    shadow  = true
  }`
)

// describe writes the spec of the data path's tests: web on every host calls services
// of every protocol on the second host, and one on all; stranger calls none. A
// connection has time for the handshakes of all that begin with it.
func (f *fleet) describe() {
	f.more = "\n  telemetry { access_log = \"all\" }"
	for _, s := range []struct{ name, on, flag, listen, check, more string }{
		{"plain", everyHost, "--http", listenHTTP, checkHTTP, ""},
		{"newer", secondHost, "--http", `listen "http2" {}`, checkHTTP, ""},
		{"rpc", secondHost, "--grpc", `listen "grpc" {}`, `check { grpc = "" }`, ""},
		{"pipe", secondHost, flagsPipe, listenPipe, checkPipe, ""},
		{"banner", secondHost, "--banner", "listen \"tcp\" { port = 7001 }", `check { tcp = true }`, ""},
		{"narrow", secondHost, "--http", listenHTTP, checkHTTP, narrowAllow},
	} {
		f.set("service "+s.name, echoService(s.name, s.on, s.flag, s.listen, s.check, s.more))
	}
	f.versions(100)
	f.external("pay", "pay.example")
	f.set("external line", "external \"line\" {\n  hosts    = [\"10.99.0.251:9000\"]\n  protocol = \"tcp\"\n  tls      = \"off\"\n}")
	f.service("stranger", "")
	f.service("guest", guestOfNarrow+`
  upstream "pipe" { connect_timeout = "20s" }`)
	f.service("web", patientWeb+`
  upstream "newer" { connect_timeout = "20s" }
  upstream "rpc" { connect_timeout = "20s" }
  upstream "pipe" { connect_timeout = "20s" }
  upstream "banner" { connect_timeout = "20s" }
  upstream "narrow" {
    timeout         = "8s"
    connect_timeout = "20s"
    retry {
      attempts = 3
      on       = ["503"]
    }
  }
  upstream "split" {
    timeout         = "60s"
    connect_timeout = "20s"
  }
  upstream "pay" { connect_timeout = "20s" }
  upstream "line" { connect_timeout = "20s" }`)
}

// versions is a service of two versions on every host, so many percent to the first.
func (f *fleet) versions(first int) {
	f.set("service split", fmt.Sprintf(`service "split" {
  on      = ["*"]
  exec    = "bin/echo --http 127.0.0.1:$PORT"
  listen "http" {}
  check { http = "/healthz" }
  version "v1" { package = "web" }
  version "v2" { package = "web" }
  split = { v1 = %d, v2 = %d }
}`, first, 100-first))
}

// external is an HTTPS server outside of the fleet, which says that it is somebody.
func (f *fleet) external(name, server string) {
	f.set("external "+name, fmt.Sprintf("external %q {\n  hosts       = [\"10.99.0.250:443\"]\n  server_name = %q\n}", name, server))
}

// port is where the application of a service listens on every host. The service is as
// the lock has it: "api", "api@v1", "api:admin".
func (f *fleet) port(service string) int {
	f.t.Helper()
	lock, err := os.ReadFile(filepath.Join(f.dir, "nixmesh.lock"))
	if err != nil {
		f.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^port ` + regexp.QuoteMeta(service) + ` (\d+)$`).FindSubmatch(lock)
	if m == nil {
		f.t.Fatalf("the lock has no port of %s: %s", service, lock)
	}
	port, err := strconv.Atoi(string(m[1]))
	if err != nil {
		f.t.Fatal(err)
	}
	return port
}

// TestDataPath: what a service may call it reaches by name, in every protocol, from
// another host and from the same one, whatever happens to agents, hosts and
// certificates; what it may not, it does not.
func TestDataPath(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2", "h3")
	f.describe()
	f.lab("up").want(t, 0) // the externals
	f.wantTaken(t, f.deploy())
	f.wantListening(t)
	f.wantConvened(t)
	f.wantWhole(t)
	f.eventually(t, 0, []string{"mesh", "certs"})
	web := map[string]*caller{}
	for _, host := range f.hosts {
		web[host] = f.as(host, "nm-web")
		web[host].wantCallees(t)
	}
	domain := f.document("h1").Config.TrustDomain
	t.Run("protocols", func(t *testing.T) {
		for _, host := range []string{"h1", "h2"} { // over the network, and on one host
			t.Run(host, func(t *testing.T) { testProtocols(t, web[host], "spiffe://"+domain+"/svc/web") })
		}
	})
	t.Run("nobody else", func(t *testing.T) {
		for _, c := range []*caller{f.as("h1", "nm-stranger"), f.as("h2", "nm-stranger"), f.as("h1", "root"), f.as("h2", "nm-guest")} {
			for _, address := range []string{"plain.mesh:80", "banner.mesh:7001", "pay.mesh:80"} {
				c.refused(t, address)
			}
		}
	})
	t.Run("allow", func(t *testing.T) { f.testAllow(t, web["h1"]) })
	t.Run("patience", func(t *testing.T) { testPatience(t, web["h1"]) })
	t.Run("access log", func(t *testing.T) { f.testAccessLog(t, web["h1"]) })
	t.Run("external", func(t *testing.T) { f.testExternal(t, web["h1"]) })
	t.Run("callers' certificates", func(t *testing.T) { f.testWrongCallers(t) })
	t.Run("callees' certificates", func(t *testing.T) { f.testWrongCallees(t, web["h1"]) })
	t.Run("split", func(t *testing.T) { f.testSplit(t, web) })
	t.Run("permission", func(t *testing.T) { f.testPermission(t, web["h1"]) })
	t.Run("seen", func(t *testing.T) { f.testSeen(t) })
	t.Run("strangers", func(t *testing.T) { f.testStrangers(t) })
	t.Run("agents killed", func(t *testing.T) { f.testAgentsKilled(t, web["h1"]) })
	t.Run("agents upgraded", func(t *testing.T) { f.testAgentsUpgraded(t, web["h1"]) })
	t.Run("leaf rotated", func(t *testing.T) { f.testLeafRotated(t, web["h1"]) })
	t.Run("instance killed", func(t *testing.T) { f.testInstanceKilled(t, web["h1"]) })
	t.Run("edge removed", func(t *testing.T) { f.testEdgeRemoved(t, web["h1"]) })
	t.Run("partition", func(t *testing.T) { f.testDataPartition(t, web["h1"]) })
	t.Run("refused", func(t *testing.T) { f.testRefusedByEnvoy(t) })
	t.Run("booted alone", func(t *testing.T) { f.testBootedAlone(t) })
}

// wantLine waits until a line that is sent to an address, if it is not empty, is
// answered with one.
func (c *caller) wantLine(t *testing.T, address, text string) {
	t.Helper()
	until(t, address+" answers "+c.String(), func() bool {
		conn, err := c.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return false
		}
		defer conn.Close()
		_, err = sayLine(conn, bufio.NewReader(conn), text)
		return err == nil
	})
}

// wantCallees waits until all that web calls has its certificates, and answers.
func (c *caller) wantCallees(t *testing.T) {
	t.Helper()
	for _, url := range []string{"http://plain.mesh/", "http://newer.mesh/", "http://narrow.mesh/open/", "http://split.mesh/", "http://pay.mesh/"} {
		c.wantStatus(t, url, 200)
	}
	c.wantLine(t, "pipe.mesh:7000", "ready")
	c.wantLine(t, "banner.mesh:7001", "")
	client := c.Client(true)
	defer client.CloseIdleConnections()
	until(t, "rpc answers "+c.String(), func() bool {
		s, err := stream(t.Context(), client, "http://rpc.mesh/nixmesh.lab.Echo/Stream")
		if err != nil {
			return false
		}
		_, err = s.echo(nil)
		_ = s.send.Close() // which ends the call, if it began
		return err == nil
	})
}
