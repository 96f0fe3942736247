package xds

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

// member is a host that runs a version of a service and takes calls of the mesh for
// it, as an Envoy there would.
func member(t *testing.T, ca *authority, service, version string, handler http.HandlerFunc) catalog.Endpoint {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = serving(t, ca, service, alpnHTTP)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are meant to fail
	server.StartTLS()
	t.Cleanup(server.Close)
	return endpointAt(server.Listener, service, version)
}

// serving is the TLS of a host that runs a service.
func serving(t *testing.T, ca *authority, service, protocol string) *tls.Config {
	leaf := ca.leaf(ID(testDomain, service))
	pair, err := tls.X509KeyPair(leaf.Chain, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{protocol}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
}

func endpointAt(l net.Listener, service, version string) catalog.Endpoint {
	at := l.Addr().(*net.TCPAddr)
	return catalog.Endpoint{
		Service: service, Version: version, Host: fmt.Sprint("host", at.Port), Address: at.IP.String(), Port: uint16(at.Port),
		State: catalog.StateHealthy, Ready: 1, Copies: 1,
	}
}

func replying(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// outgoing is a host whose service web calls others, and its Envoy.
type outgoing struct {
	t         *testing.T
	config    *mesh.Config
	endpoints map[string][]catalog.Endpoint
	envoy     *envoy
	ca        *authority
}

func newOutgoing(t *testing.T) *outgoing {
	return &outgoing{t: t, ca: newAuthority(t), config: meshOf(map[string]*mesh.Service{"web": service(on("app1"))}), endpoints: map[string][]catalog.Endpoint{}}
}

// to adds a service that web calls, and returns how.
func (o *outgoing) to(name, protocol string, versions []mesh.Version, endpoints ...catalog.Endpoint) (*mesh.Service, *mesh.Edge) {
	o.config.Services[name] = service(versions, mesh.Listen{Protocol: protocol})
	o.endpoints[name] = endpoints
	calls(o.config, "web", name)
	return o.config.Services[name], o.config.Edges["web"][name]
}

func (o *outgoing) start(change ...func(*Input)) {
	o.t.Helper()
	in := input(o.t, o.config)
	in.Facts.Mesh.Roots = string(o.ca.pem)
	patient(o.config)
	in.Endpoints = func(service string) []catalog.Endpoint { return o.endpoints[service] }
	for edge, how := range o.config.Edges["web"] {
		calling(in, "web", edge)
		how.ConnectTimeout = seconds(60) // it bounds handshakes, too
	}
	for i := range in.Facts.Edges {
		in.Facts.Edges[i].EdgePort = 0
	}
	for _, change := range change {
		change(in)
	}
	out := Build(in)
	for _, p := range out.Problems {
		o.t.Error(p.Text)
	}
	o.envoy = startEnvoy(o.t, o.ca, out)
}

// get asks a service as web does, and gives the status and the answer.
func (o *outgoing) get(t *testing.T, name, path string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+o.envoy.address("out:web:"+name)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = name + ".mesh"
	for _, change := range change {
		change(r)
	}
	client := &http.Client{Timeout: testPatience}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// counts are the answers to n requests.
func (o *outgoing) counts(t *testing.T, n int, name, path string, change ...func(*http.Request)) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		code, body := o.get(t, name, path, change...)
		counts[strings.TrimSpace(fmt.Sprintf("%d %s", code, body))]++
	}
	return counts
}

// What the configuration says of patience and of failing instances acts.
func TestEnvoyIsPatientAsConfigured(t *testing.T) {
	o := newOutgoing(t)
	var tries atomic.Int32
	flaky := member(t, o.ca, "flaky", "", func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1)%3 != 0 {
			w.WriteHeader(503)
		}
	})
	s, e := o.to("flaky", "http", on("app2"), flaky)
	e.Outlier.Errors = 0
	e.Retry = &mesh.Retry{Attempts: 2, On: mesh.Names{"5xx"}, Backoff: mesh.Duration(time.Millisecond), Budget: 100}
	s.Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathExact, Text: "/once"}},
		Handling: mesh.Handling{Patience: mesh.Patience{Retry: &mesh.Retry{Attempts: 1, On: mesh.Names{"gateway"}, Backoff: mesh.Duration(time.Millisecond), Budget: 100}}}}}

	slow := member(t, o.ca, "slow", "", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(testPatience):
		}
	})
	_, e = o.to("slow", "http", on("app2"), slow)
	e.Timeout = new(mesh.Duration(50 * time.Millisecond))

	_, e = o.to("ill", "http", on("app1", "app2"), member(t, o.ca, "ill", "", replying("well")),
		member(t, o.ca, "ill", "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	e.Outlier = mesh.Outlier{Errors: 2, Every: mesh.Duration(100 * time.Millisecond), Eject: seconds(300), Max: 50}

	_, e = o.to("busy", "http", on("app2"), member(t, o.ca, "busy", "", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			w.WriteHeader(200)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	e.Circuit.Requests = 1

	impostor := member(t, o.ca, "slow", "", replying("impostor"))
	o.to("other", "http", on("app2"), impostor)
	o.start()

	t.Run("retries", func(t *testing.T) {
		if code, _ := o.get(t, "flaky", "/"); code != 200 || tries.Load() != 3 {
			t.Errorf("%d after %d tries", code, tries.Load())
		}
		if code, _ := o.get(t, "flaky", "/once"); code != 503 || tries.Load() != 5 {
			t.Errorf("a route's own: %d after %d tries", code, tries.Load())
		}
	})
	t.Run("timeout", func(t *testing.T) {
		if code, body := o.get(t, "slow", "/"); code != 504 {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("the caller gives no orders", func(t *testing.T) {
		code, body := o.get(t, "slow", "/", func(r *http.Request) { r.Header.Set("x-envoy-upstream-rq-timeout-ms", "9000") })
		if code != 504 {
			t.Errorf("%d %s", code, body)
		}
	})
	t.Run("outlier", func(t *testing.T) {
		seen := o.counts(t, 20, "ill", "/")
		o.envoy.eventually("the ill one is not ejected", func() bool {
			stats, err := o.envoy.ask("/stats?filter=cluster.u_web_ill.outlier_detection.ejections_active")
			return err == nil && strings.HasSuffix(strings.TrimSpace(stats), ": 1")
		})
		if again := o.counts(t, 10, "ill", "/"); again["200 well"] != 10 {
			t.Errorf("first %v, then %v", seen, again)
		}
	})
	t.Run("circuit", func(t *testing.T) {
		held, err := http.Get("http://" + o.envoy.address("out:web:busy") + "/hold")
		if err != nil {
			t.Fatal(err)
		}
		if code, body := o.get(t, "busy", "/"); code != 503 || !strings.Contains(body, "overflow") {
			t.Errorf("%d %s", code, body)
		}
		_ = held.Body.Close()
	})
	t.Run("another service's host", func(t *testing.T) {
		if code, body := o.get(t, "other", "/"); code != 503 {
			t.Errorf("%d %s", code, body)
		}
	})
}

// Requests go where shares, zones, health, hashes and cookies say.
func TestEnvoyPicksAsConfigured(t *testing.T) {
	o := newOutgoing(t)
	two := func(name string, change ...func(v1, v2 *catalog.Endpoint)) (*mesh.Service, *mesh.Edge) {
		v1, v2 := member(t, o.ca, name, "v1", replying("v1")), member(t, o.ca, name, "v2", replying("v2"))
		for _, change := range change {
			change(&v1, &v2)
		}
		return o.to(name, "http", versions("v1", "v2"), v1, v2)
	}
	shared, _ := two("shared")
	shared.Split = map[string]mesh.Percent{"v1": 50, "v2": 50}
	shared.Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/new/"}}, To: "v2"}}
	sticky, _ := two("sticky")
	sticky.Split, sticky.Sticky = map[string]mesh.Percent{"v1": 50, "v2": 50}, "version"
	two("shifted")
	gone, _ := two("gone", func(_, v2 *catalog.Endpoint) { v2.State = catalog.StateUnhealthy })
	gone.Split = map[string]mesh.Percent{"v1": 50, "v2": 50}

	var copied atomic.Int32
	mirrored, _ := o.to("mirrored", "http", versions("v1", "v2"), member(t, o.ca, "mirrored", "v1", replying("v1")),
		member(t, o.ca, "mirrored", "v2", func(http.ResponseWriter, *http.Request) { copied.Add(1) }))
	mirrored.Routes = []mesh.Route{{Rule: anyPath(), To: "v1", Mirror: &mesh.Mirror{Version: "v2", Percent: 100}}}

	limited, _ := o.to("limited", "http", versions("v1", "v2"), member(t, o.ca, "limited", "v1", replying("ok")), member(t, o.ca, "limited", "v2", replying("ok")))
	limited.Split, limited.Sticky = map[string]mesh.Percent{"v1": 50, "v2": 50}, "version"
	limited.Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathExact, Text: "/rare"}}, Handling: mesh.Handling{Limit: &mesh.Limit{Count: 1, Per: seconds(3600), Burst: 2, By: "caller"}}}}

	o.config.Hosts["app1"].Zone = "eu/a"
	zoned := func(name string, near catalog.State) {
		a, b := member(t, o.ca, name, "", replying("near")), member(t, o.ca, name, "", replying("far"))
		a.Zone, a.State, b.Zone = "eu/a", near, "eu/b"
		_, e := o.to(name, "http", on("app1", "app2"), b, a)
		e.Failover.Zones = true
	}
	zoned("near", catalog.StateHealthy)
	zoned("draining", catalog.StateDraining)
	zoned("degraded", catalog.StateDegraded)
	zoned("down", catalog.StateUnhealthy)

	empty, e := o.to("empty", "http", on("app2"))
	empty.Listens[0].Protocol, e.Failover.To = "http2", []string{"shifted"}

	var hashed []catalog.Endpoint
	for i := range 4 {
		hashed = append(hashed, member(t, o.ca, "hashed", "", replying(fmt.Sprint(i))))
	}
	_, e = o.to("hashed", "http", on("app1", "app2"), hashed...)
	e.LB, e.Hash = "maglev", "header:x-user"
	o.start(func(in *Input) {
		in.Split = func(service string) map[string]mesh.Percent {
			if service == "shifted" {
				return map[string]mesh.Percent{"v2": 100}
			}
			return nil
		}
	})

	for _, c := range []struct {
		service, path string
		want          map[string]int // of 40 requests; -1 is some
	}{
		{"shared", "/", map[string]int{"200 v1": -1, "200 v2": -1}},
		{"shared", "/new/x", map[string]int{"200 v2": 40}},
		{"shifted", "/", map[string]int{"200 v2": 40}},
		{"gone", "/", map[string]int{"200 v1": -1, "503 no healthy upstream": -1}},
		{"near", "/", map[string]int{"200 near": 40}},
		{"draining", "/", map[string]int{"200 far": 40}},
		{"degraded", "/", map[string]int{"200 far": 40}},
		{"down", "/", map[string]int{"200 far": 40}},
		{"empty", "/", map[string]int{"200 v2": 40}},
		{"limited", "/rare", map[string]int{"200 ok": 2, "429 local_rate_limited": 38}},
		{"limited", "/often", map[string]int{"200 ok": 40}},
		{"mirrored", "/", map[string]int{"200 v1": 40}},
	} {
		t.Run(c.service+c.path, func(t *testing.T) {
			got := o.counts(t, 40, c.service, c.path)
			for answer, n := range c.want {
				if n < 0 && got[answer] > 0 {
					got[answer] = n
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	o.envoy.eventually("the copies did not come", func() bool { return copied.Load() == 40 })

	t.Run("a client keeps its version", func(t *testing.T) {
		at := "http://" + o.envoy.address("out:web:sticky")
		seen := map[string]int{}
		for range 20 {
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			client, own := &http.Client{Jar: jar, Timeout: testPatience}, map[string]bool{}
			for range 5 {
				answer, err := client.Get(at)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				own[string(body)] = true
				seen[string(body)]++
			}
			if u, _ := url.Parse(at); len(own) != 1 || len(jar.Cookies(u)) != 1 {
				t.Errorf("one client got %v with %v", own, jar.Cookies(u))
			}
		}
		if len(seen) != 2 {
			t.Errorf("all clients got %v", seen)
		}
	})
	t.Run("a limit is one of all versions", func(t *testing.T) {
		for _, version := range []string{"v1", "v2"} {
			got := o.counts(t, 5, "limited", "/rare", func(r *http.Request) { r.Header.Set("cookie", "version="+version) })
			if got["429 local_rate_limited"] != 5 {
				t.Errorf("%s: %v", version, got)
			}
		}
	})
	t.Run("a header decides", func(t *testing.T) {
		seen := map[string]bool{}
		for user := range 20 {
			own := o.counts(t, 5, "hashed", "/", func(r *http.Request) { r.Header.Set("x-user", fmt.Sprint(user)) })
			if len(own) != 1 {
				t.Errorf("user %d got %v", user, own)
			}
			for answer := range own {
				seen[answer] = true
			}
		}
		if len(seen) < 2 {
			t.Errorf("all users got %v", seen)
		}
	})
}
