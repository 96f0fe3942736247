package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// shares asks often and counts who answers, by version.
func shares(t *testing.T, c *caller, url string, n int) map[string]int {
	t.Helper()
	client := c.Client(false)
	defer client.CloseIdleConnections()
	by := map[string]int{}
	for range n {
		s := one(client, http.MethodGet, url)
		version, _, _ := strings.Cut(s.header.Get("Answered-By"), " ")
		if s.err != nil || s.status != 200 {
			version = s.String()
		}
		by[version]++
	}
	return by
}

// testSplit: shares act in a moment on every host, and connections stay.
func (f *fleet) testSplit(t *testing.T, web map[string]*caller) {
	const url = "http://split.mesh/"
	sockets := map[string]*webSocket{}
	for host, c := range web {
		c.wantStatus(t, url, 200)
		sockets[host] = c.webSocket(t, "split.mesh")
		defer sockets[host].Close()
		if by := shares(t, c, url, 20); by["split@v1"] != 20 {
			t.Errorf("%s: all to v1, got %v", c, by)
		}
	}
	for _, first := range []int{0, 70, 100} {
		f.versions(first)
		f.wantTaken(t, f.run("mesh", "apply", "-y"))
		for _, c := range web {
			// An Envoy that has a route gives it to its threads, of which each has connections.
			until(t, fmt.Sprintf("%s: %d percent to v1", c, first), func() bool {
				v1 := 0
				for range 10 {
					v1 += shares(t, c, url, 1)["split@v1"]
				}
				return first%100 != 0 || v1 == first/10
			})
			by := shares(t, c, url, 200)
			if low, high := max(0, 2*first-35), min(200, 2*first+35); by["split@v1"]+by["split@v2"] != 200 || by["split@v1"] < low || by["split@v1"] > high || first%100 == 0 && by["split@v1"] != 2*first {
				t.Errorf("%s: %d percent to v1, of 200 got %v", c, first, by)
			}
		}
	}
	for _, host := range f.hosts {
		f.ssh(host, "systemctl stop split@v2").want(t, 0)
	}
	f.versions(90)
	until(t, "a plan says who would get no answer", func() bool {
		return strings.Contains(f.run("plan").stdout, "split: 10 % of the calls would be answered 503: of 3 copies of split@v2 none is ready")
	})
	f.versions(100)
	for _, host := range f.hosts {
		f.ssh(host, "systemctl start split@v2").want(t, 0)
	}
	for host, w := range sockets {
		if err := w.echo("still here"); err != nil {
			t.Errorf("a WebSocket from %s did not outlive the changes: %v", host, err)
		}
	}
	f.wantWhole(t)
}

// testPermission: what may not be any more is refused on connections that are kept,
// and no connection is closed.
func (f *fleet) testPermission(t *testing.T, web *caller) {
	kept := web.keep(t, "pipe.mesh:7000", 5)
	socket := web.webSocket(t, "narrow.mesh") // from one host to another
	defer socket.Close()
	client := web.Client(false)
	defer client.CloseIdleConnections()
	narrow := func(path string) {
		f.set("service narrow", echoService("narrow", secondHost, "--http", listenHTTP, checkHTTP, strings.Replace(narrowAllow, "/open/", path, 1)))
	}
	ask := func(what string) said { return one(client, http.MethodGet, "http://narrow.mesh"+what) }
	if s := ask("/open/"); s.status != 200 {
		t.Fatalf("before: %s", s)
	}
	for i, path := range []string{"/shut/", "/open/"} {
		want := []int{403, 200}[i]
		narrow(path)
		next := int(f.document("h2").Version) + 1
		applied := make(chan result, 1)
		go func() { applied <- f.run("mesh", "apply", "-y") }()
		inForce := f.becomes(t, "h2", next)
		until(t, fmt.Sprintf("/open/ is answered %d", want), func() bool { return ask("/open/").status == want })
		t.Logf("%d on a kept connection %s after the document was in force on its host", want, time.Since(inForce).Round(time.Millisecond))
		f.wantTaken(t, <-applied)
	}
	if broken := kept.end(); len(broken) > 0 {
		t.Errorf("connections that may stay ended: %v", broken)
	}
	if err := socket.echo("still here"); err != nil {
		t.Errorf("a WebSocket that may stay: %v", err)
	}
}

// testEdgeRemoved: who was a caller is none when its upstream is gone, on open
// connections too; those of others stay.
func (f *fleet) testEdgeRemoved(t *testing.T, web *caller) {
	guest := f.as("h1", "nm-guest")
	stay, gone := web.keep(t, "pipe.mesh:7000", 3), guest.keep(t, "pipe.mesh:7000", 3)
	f.service("guest", guestOfNarrow)
	f.wantTaken(t, f.deploy())
	until(t, "the connections of guest end", func() bool { return len(gone.broken()) == 3 })
	until(t, "guest is refused", func() bool { return errors.Is(guest.dials(t, "pipe.mesh:7000"), syscall.ECONNREFUSED) })
	if broken := stay.end(); len(broken) > 0 {
		t.Errorf("connections of web ended: %v", broken)
	}
	gone.end()
	f.wantWhole(t)
}

// late is what the program says of hosts that act on a document later than it waits
// for them.
var late = regexp.MustCompile(`pplied on \d+ of \d+ agents in [0-9.]+ s; .*(not yet|nothing was heard of it since|is not connected)`)

// wantTaken fails unless a deploy or an apply went well. It gives agents and Envoys
// some seconds to act on the document, and ends with 1 where one is slower: then this
// waits for all of them.
func (f *fleet) wantTaken(t *testing.T, r result) result {
	t.Helper()
	if text := late.FindString(r.stdout + r.stderr); r.code == 1 && text != "" {
		t.Logf("%s: all acted on it %.1f s later", text, f.wantNothing(t, f.hosts, f.acting).Seconds())
		r.code = 0
	}
	r.want(t, 0)
	if text := applied.FindString(r.stdout); text != "" {
		t.Logf("%s; the command took %.1f s", text, r.took.Seconds())
	}
	return r
}

var applied = regexp.MustCompile(`[Aa]pplied on \d+ of \d+ agents in [0-9.]+ s`)

// acting says why a host's agent does not see all hosts act on one document, and
// their Envoys, "" where it does.
func (f *fleet) acting(host string) string {
	f.t.Helper()
	return f.convenedAnd(host, func(s *agentapi.Status) string {
		for _, h := range s.Hosts {
			if h.Envoy != "" && h.Envoy != agentapi.EnvoyActs {
				return "the Envoy of " + h.Name + " is " + h.Envoy
			}
		}
		return ""
	})
}

// eventually waits until the program ends with a code and says every text.
func (f *fleet) eventually(t *testing.T, code int, args []string, texts ...string) {
	t.Helper()
	var r result
	if !within(patience, func() bool {
		r = f.run(args...)
		return r.code == code && !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(r.stdout+r.stderr, s) })
	}) {
		t.Fatalf("want exit %d and %q: %s", code, texts, r)
	}
}

// becomes waits until the agent of a host acts on a version, and says when.
func (f *fleet) becomes(t *testing.T, host string, version int) time.Time {
	t.Helper()
	status := f.as(host, "root").socket("/run/nixmesh/api.sock")
	defer status.CloseIdleConnections()
	var at time.Time
	until(t, fmt.Sprintf("%s acts on version %d", host, version), func() bool {
		s := one(status, http.MethodGet, "http://agent/v1/status")
		at = time.Now()
		var now struct {
			Document *struct {
				Version int `json:"version"`
			} `json:"document"`
		}
		return s.err == nil && json.Unmarshal([]byte(s.body), &now) == nil && now.Document != nil && now.Document.Version >= version
	})
	return at
}
