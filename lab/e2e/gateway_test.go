package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/lab"
)

// TestGateway: calls from outside come in by the gateway of the first host, for
// services of the second, with certificates of the lab's CA and from files.
func TestGateway(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2")
	f.set("service plain", echoService("plain", secondHost, "--http", listenHTTP, checkHTTP, `  route "/answer" { respond = 204 }`))
	f.set("service banner", echoService("banner", secondHost, "--banner", "listen \"tcp\" { port = 7001 }", `check { tcp = true }`, ""))
	f.gateway("")
	first := f.certify(t, "file.example", "file.example")
	f.wantTaken(t, f.deploy()).says(t, "lab overrides: ")
	f.wantListening(t)
	f.wantConvened(t)
	f.wantWhole(t)
	o := f.outsider(t)
	o.wantStatus(t, "https://shop.example/", 200)
	t.Run("calls", func(t *testing.T) { f.testGatewayCalls(t, o) })
	t.Run("curl", func(t *testing.T) { f.testGatewayCurl(t) })
	t.Run("key", func(t *testing.T) { f.testGatewayKey(t) })
	t.Run("nothing new", func(t *testing.T) {
		f.run("plan").want(t, 0).says(t, "No host changes: 2 of 2 run this already.")
	})
	t.Run("route", func(t *testing.T) { f.testGatewayRoute(t, o) })
	t.Run("rotated", func(t *testing.T) { f.testGatewayRotated(t, first) })
	t.Run("wrong key", func(t *testing.T) { f.testGatewayWrongKey(t) })
}

// again is a route's patience with the service, and with connections to it, for whose
// handshakes a gateway waits a second.
const again = `    timeout = "60s"
    retry {
      attempts = 10
      on       = ["connect", "refused"]
    }`

// gateway describes the gateway, with more lines in it.
func (f *fleet) gateway(more string) {
	f.t.Helper()
	f.set("gateway public", fmt.Sprintf(`gateway "public" {
  on   = ["h1"]
  cert = "mesh-ca"

  tls "file.example" {
    cert = "certs/file.pem"
    key  = "secrets/file.age"
  }
  listen "tcp" {
    port = 7100
    to   = "banner"
    from = [%[1]q]
  }
  route "shop.example" {
    to = "plain"
%[2]s
  }
  route "shop.example/old/" {
    to      = "plain"
    rewrite = "/"
%[2]s
  }
  route "file.example" {
    to = "plain"
%[2]s
  }
%[3]s
}`, f.address(0)[:strings.LastIndex(f.address(0), ".")]+".0/24", again, more))
}

// certify writes a certificate of the lab's CA as a file of the fleet, and the key
// of another one as its secret where names differ. It gives the certificate.
func (f *fleet) certify(t *testing.T, name, keyOf string) *x509.Certificate {
	t.Helper()
	l, err := lab.New(lab.Options{StateDir: filepath.Join(f.dir, ".nixmesh/lab")})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := l.CA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	chain, key, err := ca.Issue([]string{name}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		t.Fatal(err)
	}
	if keyOf != name {
		if _, key, err = ca.Issue([]string{keyOf}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	f.file("certs/file.pem", string(chain))
	f.file("lab.hcl", fmt.Sprintf("lab {\n  nixpkgs = %q\n  secrets = { \"secrets/file.age\" = %q }\n\n  gateway \"public\" { cert = \"lab-ca\" }\n}\n", f.nixpkgs, key))
	return pair.Leaf
}

// outsider is a client on the machine, who trusts the lab's CA and finds every name
// at the first host.
type outsider struct {
	*http.Client
	address string
}

func (f *fleet) outsider(t *testing.T) outsider {
	t.Helper()
	root, err := os.ReadFile(filepath.Join(f.dir, ".nixmesh/lab", lab.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	address := f.address(0)
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, asked string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(asked)
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(address, port))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return outsider{&http.Client{
		Transport: transport, Timeout: answerTime,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, address}
}

func (o outsider) get(url string, headers ...string) (*http.Response, string, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	answer, err := o.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, string(body), err
}

// wantStatus waits until a request is answered with a status.
func (o outsider) wantStatus(t *testing.T, url string, status int, headers ...string) string {
	t.Helper()
	return o.wantAnswer(t, url, status, "", headers...)
}

// wantAnswer waits until a request is answered with a status, and a text in the body
// or the place of a redirect.
func (o outsider) wantAnswer(t *testing.T, url string, status int, text string, headers ...string) (body string) {
	t.Helper()
	var r *http.Response
	var err error
	if !within(patience, func() bool {
		r, body, err = o.get(url, headers...)
		return err == nil && r.StatusCode == status && strings.Contains(body+r.Header.Get("Location"), text)
	}) {
		t.Errorf("%s %v: want %d with %q, got %v, %v\n%s", url, headers, status, text, r, err, body)
	}
	return body
}

// testGatewayCalls: what a client meets, and what a service hears of him.
func (f *fleet) testGatewayCalls(t *testing.T, o outsider) {
	for _, test := range []struct {
		url    string
		status int
		says   string // in the body, or the place of a redirect
	}{
		{"https://shop.example/a?b=1", 200, "GET /a?b=1 "},
		{"https://shop.example/old/a", 200, "GET /a "},
		{"https://shop.example/answer", 204, ""},
		{"https://shop.example/old/answer", 204, ""},
		{"https://file.example/", 200, "/svc/public\n"},
		{"http://shop.example/a?b=1", 308, "https://shop.example/a?b=1"},
		{"http://other.example/a", 404, ""},
		{"http://other.example/.well-known/nixmesh/health", 200, ""},
		{"https://shop.example/.well-known/nixmesh/health", 200, ""},
	} {
		o.wantAnswer(t, test.url, test.status, test.says)
	}
	for host, status := range map[string]int{"other.example": 404, "file.example": 421, "shop.example:443": 200} {
		o.wantStatus(t, "https://shop.example/", status, "Host", host)
	}
	if _, _, err := o.get("https://other.example/"); err == nil || !strings.Contains(err.Error(), "certificate is valid for shop.example") {
		t.Errorf("an unknown name by HTTPS: %v", err)
	}
	body := o.wantStatus(t, "https://shop.example/", 200, "X-Forwarded-Client-Cert", "URI=spiffe://evil/svc/root", "X-Envoy-Upstream-Rq-Timeout-Ms", "1", "X-Forwarded-For", "10.9.9.9")
	if strings.Contains(body, "svc/root") || strings.Contains(body, "x-envoy-") || !strings.Contains(body, "/svc/public\n") {
		t.Errorf("the service hears what came from outside:\n%s", body)
	}
	until(t, "banner speaks first through the gateway", func() bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort(o.address, "7100"), answerTime)
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(answerTime))
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return line == "banner on h2\n"
	})
}

// testGatewayCurl: what a person types, with the file that the lab leaves.
func (f *fleet) testGatewayCurl(t *testing.T) {
	root, err := os.ReadFile(filepath.Join(f.dir, ".nixmesh/lab", lab.CAFile))
	if err != nil {
		t.Fatal(err)
	}
	f.ssh("h2", "cat > /root/ca.pem <<'END'\n"+string(root)+"END").want(t, 0)
	at := "--resolve shop.example:443:" + f.address(0) + " --resolve shop.example:80:" + f.address(0)
	f.ssh("h2", "curl -sS -L --cacert /root/ca.pem "+at+" http://shop.example/from-curl").want(t, 0).says(t, "GET /from-curl HTTP/1.1")
	f.ssh("h2", "curl -sS "+at+" https://shop.example/").want(t, 60) // nobody else trusts it
}

// testGatewayKey: who may read the key on the host, and that nothing else has it.
func (f *fleet) testGatewayKey(t *testing.T) {
	const file = "/run/nixmesh/secrets/current/gateway.public/_.pem"
	own := strings.Replace(file, "_.pem", "own.pem", 1)
	f.ssh("h1", "stat -c '%U %a' "+own+" "+strings.Replace(file, "_", "file.example", 1)).want(t, 0).says(t, "nixmesh-agent 400\nnixmesh-agent 400\n")
	f.ssh("h1", "setpriv --reuid nixmesh-envoy --clear-groups cat "+own).want(t, 1)
	f.ssh("h1", "setpriv --reuid nixmesh-envoy --clear-groups ls /run/nixmesh/secrets/current").want(t, 2)
	f.ssh("h1", "grep -rlE 'BEGIN (EC )?PRIVATE KEY' /nix/store/*-nixmesh-certificate.pem /etc/nixmesh").want(t, 1)
	f.ssh("h1", "journalctl --no-pager | grep -c 'PRIVATE KEY'").want(t, 1)
}

// steady asks on one connection until stop, and says what went wrong.
type steady struct {
	answers atomic.Int64
	stop    chan struct{}
	done    chan []string
}

// onOneConnection begins to ask for a URL every 20 ms over one connection, in
// HTTP/1.1, where each break shows.
func (f *fleet) onOneConnection(t *testing.T, name string) *steady {
	t.Helper()
	o := f.outsider(t)
	config := o.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName, config.NextProtos = name, []string{"http/1.1"}
	conn, err := tls.Dial("tcp", net.JoinHostPort(o.address, "443"), config)
	if err != nil {
		t.Fatal(err)
	}
	s := &steady{stop: make(chan struct{}), done: make(chan []string, 1)}
	go func() {
		defer conn.Close()
		var wrong []string
		reader, tick := bufio.NewReader(conn), time.NewTicker(20*time.Millisecond)
		defer tick.Stop()
		for n := 0; len(wrong) == 0; n++ {
			select {
			case <-s.stop:
				s.done <- wrong
				return
			case <-tick.C:
			}
			_ = conn.SetDeadline(time.Now().Add(answerTime))
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", name)
			answer, err := http.ReadResponse(reader, nil)
			if err == nil {
				_, err = io.Copy(io.Discard, answer.Body)
			}
			if err != nil || answer.StatusCode != 200 || answer.Close {
				wrong = append(wrong, fmt.Sprintf("request %d: %v, %v", n, answer, err))
			}
			s.answers.Add(1)
		}
		s.done <- wrong
	}()
	return s
}

// want ends it after ten more answers, and fails where something went wrong.
func (s *steady) want(t *testing.T, during string) {
	t.Helper()
	before := s.answers.Load()
	until(t, "ten more answers on a connection during "+during, func() bool { return s.answers.Load() >= before+10 || len(s.done) > 0 })
	close(s.stop)
	for _, text := range <-s.done {
		t.Errorf("a connection during %s: %s", during, text)
	}
}

// testGatewayRoute: another route acts in seconds and ends no connection.
func (f *fleet) testGatewayRoute(t *testing.T, o outsider) {
	kept := f.onOneConnection(t, "shop.example")
	f.gateway("  route \"shop.example/gone\" { respond = 410 }")
	f.wantTaken(t, f.run("mesh", "apply", "-y"))
	o.wantStatus(t, "https://shop.example/gone", 410)
	kept.want(t, "a change of a route")
}

// served waits for the certificate that new connections for a name get.
func (f *fleet) served(t *testing.T, name string) (c *x509.Certificate) {
	t.Helper()
	until(t, "a certificate is served for "+name, func() bool { c = f.servedFor(name); return c != nil })
	return c
}

// servedFor is the certificate that a new connection for a name gets, nil where it
// does not come about.
func (f *fleet) servedFor(name string) *x509.Certificate {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: answerTime}, "tcp", net.JoinHostPort(f.address(0), "443"), &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return nil
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// testGatewayRotated: another certificate from a file is served after its deploy,
// and no connection ends for it.
func (f *fleet) testGatewayRotated(t *testing.T, first *x509.Certificate) {
	if c := f.served(t, "file.example"); !c.Equal(first) {
		t.Fatalf("served is %v, not the file's", c)
	}
	kept := f.onOneConnection(t, "file.example")
	agent := f.ssh("h1", "systemctl show -P MainPID nixmesh-agent").want(t, 0).stdout
	second := f.certify(t, "file.example", "file.example")
	f.wantTaken(t, f.deploy())
	until(t, "the second certificate is served", func() bool {
		c := f.servedFor("file.example")
		return c != nil && c.Equal(second)
	})
	kept.want(t, "a change of its certificate")
	if again := f.ssh("h1", "systemctl show -P MainPID nixmesh-agent").want(t, 0).stdout; again != agent {
		t.Errorf("the agent was restarted for a certificate: %s, before %s", again, agent)
	}
}

// testGatewayWrongKey: a certificate with another's key does not replace the good
// one, and status says why; nor does it with another agent. A host that boots with it
// has one of the mesh's CA served, for that name only.
func (f *fleet) testGatewayWrongKey(t *testing.T) {
	before := f.served(t, "file.example")
	f.certify(t, "file.example", "elsewhere.example")
	f.wantTaken(t, f.deploy())
	told := func(texts ...string) {
		t.Helper()
		until(t, fmt.Sprintf("status tells %q", texts), func() bool {
			text := f.run("mesh", "status").stdout
			return !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(text, s) })
		})
	}
	const kept = "h1: gateway public: file.example is served with the certificate from before"
	told(kept, "since that of certs/file.pem cannot be used")
	if c := f.served(t, "file.example"); !c.Equal(before) {
		t.Errorf("served is %v, not the good one before", c)
	}
	pid := f.agentPID("h1")
	f.ssh("h1", "systemctl restart nixmesh-agent").want(t, 0)
	until(t, "another agent has told Envoy", func() bool {
		s := f.agent("h1")
		return s != nil && s.Proxy != nil && s.Proxy.Settled && f.agentPID("h1") != pid
	})
	told(kept)
	if c := f.served(t, "file.example"); !c.Equal(before) {
		t.Errorf("with another agent served is %v, not the good one before", c)
	}
	f.ssh("h1", "stat -c '%U %a' /run/nixmesh/agent /run/nixmesh/agent/kept.v1").want(t, 0).says(t, "nixmesh-agent 700\nnixmesh-agent 600\n")
	f.lab("break", "h1", "--power").want(t, 0)
	until(t, "the mesh's CA stands in", func() bool {
		c := f.servedFor("file.example")
		return c != nil && len(c.URIs) == 1 && strings.HasSuffix(c.URIs[0].String(), "/svc/public")
	})
	if c := f.served(t, "shop.example"); len(c.DNSNames) != 1 || c.DNSNames[0] != "shop.example" {
		t.Errorf("the other name is served %v", c)
	}
	told("h1: gateway public: file.example is served with a certificate of the mesh's CA", "not of each other")
}
