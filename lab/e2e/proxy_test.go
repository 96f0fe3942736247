package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit/labuser"
)

// metrics are the values of an agent, by name and labels as Prometheus has them.
func (f *fleet) metrics(t *testing.T, host string) map[string]string {
	t.Helper()
	r := f.ssh(host, "curl -sf --max-time 60 --unix-socket /run/nixmesh/api.sock http://agent"+agentapi.PathMetrics).want(t, 0)
	values := map[string]string{}
	for line := range strings.Lines(r.stdout) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			values[name] = value
		}
	}
	return values
}

// testSeen: the commands that show what Envoys were told, and what they count.
func (f *fleet) testSeen(t *testing.T) {
	f.eventually(t, 0, []string{"mesh", "routes"}, "plain", "web", "100%", "15s (default)")
	f.eventually(t, 0, []string{"mesh", "routes", "plain", "--from", "web", "-o", "json"}, `"nixmesh.mesh-routes/1"`, `"upstream": "plain"`)
	f.run("mesh", "routes", "plane").want(t, 64).says(t, "plain")
	var calls struct {
		Hosts []agentapi.Endpoints `json:"hosts"`
	}
	var r result
	same := func() bool {
		r = f.run("mesh", "endpoints", "-o", "json")
		if r.code != 0 { // an Envoy that is told something new has not said yet that it has it
			return false
		}
		if err := json.Unmarshal([]byte(r.stdout), &calls); err != nil {
			t.Fatalf("%v: %s", err, r)
		}
		n := 0
		for _, h := range calls.Hosts {
			for _, call := range h.Calls {
				if call.Caller != "web" || call.Upstream != "plain" && call.Upstream != "pipe:line" {
					continue
				}
				for _, e := range call.Endpoints {
					if e.Envoy == nil || e.Envoy.Health != e.Health || !call.Acked {
						return false
					}
					n++
				}
			}
		}
		return n == 3*(3+1) // on each host three of plain, one of pipe
	}
	if !within(patience, same) {
		t.Fatalf("the Envoys do not say what they were told: %s", r)
	}
	if !within(patience, func() bool {
		r = f.run("mesh", "endpoints", "plain", "--on", "h3")
		return r.code == 0 && strings.Count(r.stdout, "same") == 3 && strings.Contains(r.stdout, "h2")
	}) {
		t.Errorf("endpoints of plain at h3: %s", r)
	}
	f.run("mesh", "endpoints", "nobody").want(t, 64).says(t, "pipe, plain")
	for _, part := range []string{"", "secrets", "listeners", agentapi.DumpEnvoy} {
		r := f.run(append([]string{"mesh", "dump", "h1"}, strings.Fields(part)...)...).want(t, 0)
		if !json.Valid([]byte(r.stdout)) || strings.Contains(r.stdout, "PRIVATE") || strings.Contains(r.stdout, "LS0tLS1CRUdJTiBQUklWQVRF") { // in base64
			t.Errorf("dump of %q: %.2000s", part, r.stdout)
		}
	}
	f.run("mesh", "dump", "h1", "routes").want(t, 0).says(t, "r:web:plain")
	f.eventually(t, 0, []string{"mesh", "status"}, "ENVOY", "settled")
	until(t, "status says that the Envoy has all", func() bool {
		var s meshStatus
		r := f.run("mesh", "status", "-o", "json")
		return r.code == 0 && json.Unmarshal([]byte(r.stdout), &s) == nil && s.View != nil && s.View.Proxy != nil && s.View.Proxy.Settled
	})
	until(t, "calls are counted", func() bool {
		m := f.metrics(t, "h1")
		return m[`nixmesh_call_requests_total{caller="web",upstream="plain",version="",code="2xx"}`] != "" && m["nixmesh_proxy_listening"] == "1" && m["nixmesh_envoy_up"] == "1"
	})
}

// testRefusedByEnvoy: what an Envoy refuses is named, the rest acts, and what was in
// the way may go.
func (f *fleet) testRefusedByEnvoy(t *testing.T) {
	var facts hostfacts.Facts
	if err := json.Unmarshal([]byte(f.ssh("h3", "cat "+hostfacts.Path).want(t, 0).stdout), &facts); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(facts.Edges, func(e hostfacts.Edge) bool { return e.Upstream == "plain" })
	port := facts.Edges[i].EdgePort
	program := strings.TrimSpace(f.ssh("h3", "systemctl show -P ExecStart plain.service").want(t, 0).stdout)
	_, program, _ = strings.Cut(program, "path=")
	program, _, _ = strings.Cut(program, " ")
	f.ssh("h3", fmt.Sprintf("systemctl stop %s && systemd-run --unit thief %s --tcp 127.65.0.1:%d", hostfacts.EnvoyUnit, program, port)).want(t, 0)
	defer f.ssh("h3", "systemctl stop thief")
	until(t, "the thief listens", func() bool {
		return f.ssh("h3", fmt.Sprintf("grep ':%04X 00000000:0000 0A' /proc/net/tcp", port)).code == 0
	})
	f.ssh("h3", "systemctl start --no-block "+hostfacts.EnvoyUnit).want(t, 0)
	f.said(t, "h3", "Envoy refuses the listener out:web:plain (web -> plain)")
	f.eventually(t, 1, []string{"mesh", "status", "h3"}, "out:web:plain", "in use", "mesh dump h3", "refuses 1")
	c := f.as("h3", "nm-web")
	c.wantLine(t, "pipe.mesh:7000", "ready")
	kept := c.keep(t, "pipe.mesh:7000", 1)
	kept.more(t, 10)
	if broken := kept.end(); len(broken) > 0 {
		t.Errorf("what Envoy did not refuse: %v", broken)
	}
	f.ssh("h3", "systemctl stop thief").want(t, 0)
	c.wantStatus(t, "http://plain.mesh/", http.StatusOK)
	f.wantListening(t, "h3")
	until(t, "nothing is refused any more", func() bool {
		s := f.agent("h3")
		return s != nil && s.Proxy != nil && s.Proxy.Settled && len(s.Proxy.Refused) == 0
	})
}

// testStrangers: Envoy's socket is for Envoy and root.
func (f *fleet) testStrangers(t *testing.T) {
	f.ssh("h2", "chmod 0666 /run/nixmesh/xds.sock").want(t, 0)
	defer f.ssh("h2", "chmod 0660 /run/nixmesh/xds.sock")
	r := f.ssh("h2", "systemd-run --quiet --wait --pipe --uid=nm-web $(command -v curl) -s --http2-prior-knowledge --max-time 5 --unix-socket /run/nixmesh/xds.sock http://xds/")
	if r.code == 0 {
		t.Errorf("a service is answered on Envoy's socket: %s", r)
	}
	until(t, "the stranger is named", func() bool {
		s := f.agent("h2")
		return s != nil && s.Proxy != nil && s.Proxy.Strangers > 0 && strings.HasPrefix(s.Proxy.LastStranger, "uid 3")
	})
}

// testBootedAlone: a host whose agent hears nobody serves from its disk. How soon is
// logged: it depends on what else the machine does.
func (f *fleet) testBootedAlone(t *testing.T) {
	// What h1 knows has to be on its disk, where it is to find it.
	f.restartAgents(t, "h1")
	for _, host := range []string{"h2", "h3"} {
		f.ssh(host, "systemctl stop nixmesh-agent.socket nixmesh-agent-xds.socket "+agentUnit).want(t, 0)
	}
	f.lab("break", "h1", "--power").want(t, 0)
	began := time.Now()
	serves := func() bool {
		h := f.host("h1")
		if h.PID == 0 || h.State != "running" {
			return false
		}
		user, err := labuser.Find(h.PID, "nm-web")
		if err != nil {
			return false
		}
		s := (&caller{user, "h1", "nm-web"}).get("http://plain.mesh/")
		return s.err == nil && s.status == http.StatusOK
	}
	if !within(patience, serves) {
		t.Fatalf("h1 does not serve: %+v", f.agent("h1"))
	}
	first := time.Now()
	text := strings.TrimSpace(f.ssh("h1", "date -d \"$(systemctl show -P ExecMainStartTimestamp "+hostfacts.EnvoyUnit+")\" +%s").want(t, 0).stdout)
	var started int64
	if _, err := fmt.Sscan(text, &started); err != nil {
		t.Fatal(err)
	}
	took := first.Sub(time.Unix(started, 0)) // whole seconds: up to one more than it was
	t.Logf("h1 serves %s after its boot began, and at most %s after Envoy's start", first.Sub(began).Round(10*time.Millisecond), took.Round(10*time.Millisecond))
	// Other hosts' copies are called, too, though nobody was heard; its own one
	// once it is up.
	by := map[string]int{}
	if !within(patience, func() bool {
		s := f.as("h1", "nm-web").get("http://plain.mesh/")
		if s.err != nil || s.status != http.StatusOK {
			t.Errorf("once it served, a call failed: %s", s)
			return true
		}
		by[s.header.Get("Answered-By")]++
		return len(by) == 3
	}) {
		t.Errorf("not all three copies answer: %v\n%s\n%s", by, f.run("mesh", "endpoints", "plain", "--on", "h1"), f.run("mesh", "status", "h1", "-o", "wide"))
	}
	t.Logf("answers: %v", by)
	f.eventually(t, 0, []string{"mesh", "endpoints", "--on", "h1"})
	f.eventually(t, 0, []string{"mesh", "routes", "--on", "h1"})
	for _, host := range []string{"h2", "h3"} {
		f.ssh(host, "systemctl start nixmesh-agent.socket nixmesh-agent-xds.socket "+agentUnit).want(t, 0)
	}
	f.wantListening(t)
	f.wantConvened(t)
}
