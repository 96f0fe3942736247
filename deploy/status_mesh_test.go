package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/rollback"
	"github.com/nixmesh/nixmesh/spec"
)

// shopView is the shop as the agent of a host sees it when all is well.
func shopView(host string) *agentapi.Status {
	d := &agentapi.Document{Version: 57, Hash: "3fa9c1d2e0", Operator: "anna", Release: 43, Since: noon().Add(-2 * time.Minute)}
	v := &agentapi.Status{Schema: agentapi.StatusSchema, Host: host, Fleet: "shop", Version: "0.3.2", Time: noon(), Started: noon().Add(-26 * time.Hour), Document: d}
	for i, name := range []string{"app1", "app2", "db1", "edge1"} {
		h := agentapi.Host{Name: name, Address: fmt.Sprintf("10.0.0.%d", i+1), Gossip: agentapi.GossipAlive, Since: noon().Add(-4 * time.Hour), RTT: 0.4, Agent: "0.3.2", Protocols: [2]int{1, 2}, Document: d, Applied: true, System: "nixos-system-" + name, Records: 3}
		if name == host {
			h.Gossip, h.Since, h.RTT = agentapi.GossipSelf, time.Time{}, 0
		}
		v.Hosts = append(v.Hosts, h)
	}
	at := func(version, host string) agentapi.Endpoint {
		return agentapi.Endpoint{Version: version, Host: host, Address: host + ":15443", State: agentapi.EndpointHealthy, Standing: agentapi.StandingUp, Ready: 1, Copies: 1, Since: noon().Add(-4 * time.Hour)}
	}
	v.Services = []agentapi.Service{
		{Name: "api", Ready: 3, Total: 3, Endpoints: []agentapi.Endpoint{at("v1", "app1"), at("v1", "app2"), at("v2", "app2")}},
		{Name: "postgres", Ready: 1, Total: 1, Endpoints: []agentapi.Endpoint{at("", "db1")}},
		{Name: "web", Ready: 2, Total: 2, Endpoints: []agentapi.Endpoint{at("", "app1"), at("", "app2")}},
	}
	return v
}

// troubled is the shop with something of everything.
func troubled() *agentapi.Status {
	v := shopView("app1")
	old := &agentapi.Document{Version: 56, Hash: "0badc0de00"}
	v.Hosts[1].Document, v.Hosts[1].Applied = old, false
	v.Hosts[2].Gossip, v.Hosts[2].Since = agentapi.GossipDead, noon().Add(-7*time.Second)
	v.Hosts[3].Gossip, v.Hosts[3].Since, v.Hosts[3].Problem = agentapi.GossipLeft, noon().Add(-90*time.Second), "its agent does not take part; the host answers, and its endpoints stay as they were"
	api := &v.Services[0]
	api.Ready, api.Total = 2, 4
	api.Endpoints[2].State, api.Endpoints[2].Ready, api.Endpoints[2].Since, api.Endpoints[2].Reason = agentapi.EndpointUnhealthy, 0, noon().Add(-30*time.Second), "GET /healthz 503"
	v.Services[1].Ready, v.Services[1].Endpoints[0].State, v.Services[1].Endpoints[0].Standing = 0, agentapi.EndpointUnhealthy, agentapi.StandingDown
	v.Services[2].Endpoints[0].State, v.Services[2].Endpoints[0].Flapping = agentapi.EndpointDegraded, true
	v.Pending = []agentapi.Pending{{Host: "app2", Service: "worker", Why: "only the host runs it"}}
	v.Overrides = []agentapi.Override{{Subject: "api", Kind: "shift", By: "anna", Left: 240, Value: "v2 25%"}, {Subject: "db1", Kind: "drain", By: "db1"}}
	v.Offered = &agentapi.Offered{Version: 58, Hash: "ffee00112233", From: "app2", Reason: "no operator of this host signed it"}
	v.Guard = &agentapi.GuardStatus{Loaded: true, Undeclared: 12, Outside: 3, Plaintext: 7}
	v.Problems = []agentapi.Problem{{What: "write catalog.v1: no space left on device", Since: noon(), Next: "df -h"}}
	return v
}

// seenBy is a status of what agents answered; a nil view is one that did not.
func seenBy(views ...*agentapi.Status) *MeshStatus {
	s := &MeshStatus{Schema: MeshStatusSchema, Fleet: "shop"}
	for _, v := range views {
		s.add(v.Host, v, nil)
	}
	return s
}

func TestMeshStatusText(t *testing.T) {
	other := shopView("db1")
	other.Frozen = true
	for i := range 2 {
		other.Hosts[i].Gossip = agentapi.GossipDead
	}
	same := shopView("edge1")
	same.Hosts, same.Frozen = other.Hosts, true
	same.Problems = []agentapi.Problem{{What: "the mesh configuration is not for this fleet", Next: "nixmesh deploy"}}
	stale := shopView("app1")
	stale.Stale, stale.Frozen, stale.Started = true, true, noon().Add(-23*time.Second)
	stale.Document.Since = stale.Started
	for i := 1; i < 4; i++ {
		stale.Hosts[i].Gossip, stale.Hosts[i].Since = agentapi.GossipUnknown, time.Time{}
	}
	for i := range stale.Services {
		for j := range stale.Services[i].Endpoints {
			stale.Services[i].Endpoints[j].Standing = agentapi.StandingFrozen
		}
	}
	fresh := &agentapi.Status{Host: "app1", Fleet: "shop", Time: noon(), Started: noon().Add(-time.Second)}
	fork := shopView("app2")
	fork.Document = &agentapi.Document{Version: 57, Hash: "0000ffff"}

	silent := seenBy(shopView("app1"))
	for _, host := range []string{"app2", "db1"} {
		silent.add(host, nil, &Error{Err: fmt.Errorf("%s: %w", host, ErrNoAgent), Next: "nixmesh exec --on " + host + " -- systemctl status nixmesh-agent.service"})
	}
	none := seenBy()
	none.lab = true
	none.add("app1", nil, &LostError{Host: "app1", Err: errors.New("no route to host")})

	for name, s := range map[string]*MeshStatus{
		"well": seenBy(shopView("app1"), shopView("app2")), "trouble": seenBy(troubled(), other, same), "alone": seenBy(stale),
		"fresh": seenBy(fresh), "fork": seenBy(shopView("app1"), fork), "silent": silent, "none": none,
	} {
		s.choose()
		s.look()
		var text, wide bytes.Buffer
		WriteMeshStatus(&text, s, term.Style{}, false)
		WriteMeshStatus(&wide, s, term.Style{}, true)
		golden(t, "mesh-"+name, text.String()+"--- wide\n"+wide.String())
		wantExit := map[string]Exit{"well": ExitDone, "none": ExitUnreachable}
		want, known := wantExit[name]
		if !known {
			want = ExitFailed
		}
		if s.Exit() != want {
			t.Errorf("%s: exit %d, want %d", name, s.Exit(), want)
		}
		if name == "trouble" {
			body, err := json.MarshalIndent(s, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "mesh-trouble-json", string(body)+"\n")
		}
	}
}

// The view that is shown is that of an agent that knows something.
func TestMeshStatusChoice(t *testing.T) {
	stale, fresh, frozen := shopView("app1"), shopView("app2"), shopView("db1")
	stale.Stale, fresh.Document, frozen.Frozen = true, nil, true
	s := seenBy(fresh, stale, frozen, shopView("edge1"))
	s.choose()
	if s.Host != "edge1" || len(s.others) != 3 {
		t.Errorf("chose %s, others %d", s.Host, len(s.others))
	}
	s = seenBy(fresh, stale, frozen)
	s.choose()
	if s.Host != "db1" {
		t.Errorf("chose %s", s.Host)
	}
}

// In a large fleet a sentence names a few hosts.
func TestMeshStatusOfMany(t *testing.T) {
	v := shopView("app1")
	for i := range 200 {
		name := fmt.Sprintf("node%03d", i)
		v.Hosts = append(v.Hosts, agentapi.Host{Name: name, Gossip: agentapi.GossipDead, Since: noon()})
		v.Services[2].Endpoints = append(v.Services[2].Endpoints, agentapi.Endpoint{Host: "edge1", Version: name, State: agentapi.EndpointUnhealthy, Copies: 1})
	}
	s := seenBy(v)
	s.choose()
	s.look()
	if len(s.Attention) != endpointsShown+2 {
		t.Errorf("%d lines", len(s.Attention))
	}
	for _, a := range s.Attention {
		if len(a.Why) > 300 {
			t.Errorf("long line: %s", a.Why)
		}
	}
}

func shopCerts() *MeshCerts {
	root := agentapi.Cert{Name: "shop CA (root 3fa9c1d2)", Until: noon().AddDate(10, 0, 0), Level: agentapi.LevelOK}
	leaf := func(name, issuer string, left time.Duration, level string) agentapi.Cert {
		return agentapi.Cert{Name: name, ID: "spiffe://shop/svc/" + name, Issuer: issuer, From: noon().Add(left - 72*time.Hour), Until: noon().Add(left), Renews: noon().Add(left - 36*time.Hour), Level: level, Placed: true}
	}
	expired := leaf("web", "shop CA (db1)", -time.Hour, agentapi.LevelExpired)
	expired.Problem = strings.Repeat("db1: dial tcp: no route to host; ", 10)
	return &MeshCerts{Schema: MeshCertsSchema, Fleet: "shop", now: noon(), Hosts: []*agentapi.Certs{
		{Host: "app1", Roots: []agentapi.Cert{root}, Leaves: []agentapi.Cert{leaf("api", "shop CA (db1)", 71*time.Hour, agentapi.LevelOK), leaf("web", "shop CA (db1)", 20*time.Hour, agentapi.LevelWarn)},
			Authorities: []agentapi.Answerer{{Host: "db1", Failures: 4, Retry: noon().Add(time.Minute), SkewMS: -12, Error: "no route to host"}}},
		{Host: "app2", Roots: []agentapi.Cert{root}, Leaves: []agentapi.Cert{leaf("api", "shop CA (db2)", 70*time.Hour, agentapi.LevelOK), expired, {Name: "worker", Level: agentapi.LevelExpired, Problem: "db1 has no intermediate"}}},
		{Host: "db1", Roots: []agentapi.Cert{root}, Leaves: []agentapi.Cert{leaf("postgres", "shop CA (db1)", 71*time.Hour, agentapi.LevelOK)},
			Authority: &agentapi.Cert{Name: "shop CA (db1)", Until: noon().AddDate(0, 0, 10), Renews: noon().AddDate(0, 0, -172), Level: agentapi.LevelCritical}, Requested: true},
	}, Silent: []AskedAgent{silent("edge1", &LostError{Host: "edge1", Err: errors.New("no route to host")})}}
}

func TestMeshCertsText(t *testing.T) {
	c := shopCerts()
	ahead := agentapi.Cert{Name: "cron", Until: noon().Add(72 * time.Hour), Renews: noon().Add(36 * time.Hour), Issuer: "shop CA (db1)", Level: agentapi.LevelExpired}
	c.Hosts = append(c.Hosts, &agentapi.Certs{Host: "edge2", Time: noon().Add(73 * time.Hour), Leaves: []agentapi.Cert{ahead}})
	c.lookAtClocks()
	c.look()
	var text, wide bytes.Buffer
	WriteMeshCerts(&text, c, term.Style{}, false)
	WriteMeshCerts(&wide, c, term.Style{}, true)
	golden(t, "certs", text.String()+"--- wide\n"+wide.String())
	if c.Exit() != ExitFailed {
		t.Errorf("exit %d", c.Exit())
	}
	c.Hosts = c.Hosts[:1]
	c.Hosts[0].Leaves = c.Hosts[0].Leaves[:1]
	if c.Exit() != ExitUnreachable || c.Summary() != "ok 71 h" {
		t.Errorf("exit %d, %s", c.Exit(), c.Summary())
	}
	if c.Silent = nil; c.Exit() != ExitDone {
		t.Errorf("exit %d", c.Exit())
	}
}

// The status of hosts and mesh on one screen, each trouble told once.
func TestStatusWithMeshText(t *testing.T) {
	status := func() *FleetStatus {
		s := &FleetStatus{Schema: StatusSchema, Fleet: "shop", Live: &LiveInfo{Number: 43, Time: noon().Add(-2 * time.Minute)}}
		for _, name := range []string{"app1", "app2", "db1", "edge1"} {
			s.Hosts = append(s.Hosts, HostStatus{Host: name, State: "running", Release: 43, Generation: 9, Planned: true, Live: true, Load: "0.12 0.2 0.3", MemUsed: 0.18,
				Units: []rollback.UnitState{{Name: "x@v1.service", Service: "x", Active: "active"}}})
		}
		return s
	}
	well := status()
	certs := shopCerts()
	certs.Hosts, certs.Silent = certs.Hosts[:1], nil
	certs.Hosts[0].Leaves = certs.Hosts[0].Leaves[:1]
	views := seenBy(shopView("app1"))
	views.choose()
	well.addMesh(views, certs)
	bad := status()
	bad.Hosts[2] = HostStatus{Host: "db1", State: "unreachable", Error: "connection lost"}
	views = seenBy(troubled())
	views.add("db1", nil, &LostError{Host: "db1", Err: errors.New("no route to host")})
	views.choose()
	bad.addMesh(views, shopCerts())
	without := status()
	without.addMesh(seenBy(), &MeshCerts{})
	var b bytes.Buffer
	for _, s := range []*FleetStatus{well, bad, without} {
		WriteStatus(&b, s, term.Style{}, noon())
		fmt.Fprintf(&b, "exit %d\n---\n", s.Exit())
	}
	WriteHostStatus(&b, bad.Hosts[1], term.Style{})
	golden(t, "status-mesh", b.String())
}

func TestEventLine(t *testing.T) {
	var b bytes.Buffer
	for _, e := range []agentapi.Event{
		{Kind: agentapi.EventService, Host: "app2", Service: "api", Version: "v2", State: "unhealthy", Detail: "0 of 1 ready: GET /healthz 503"},
		{Kind: agentapi.EventHost, Host: "db1", State: "suspect"},
		{Kind: agentapi.EventDocument, State: "58", Detail: "version 58 by anna (3fa9c1d2)"},
		{Kind: agentapi.EventApplied, Host: "edge1", State: "58", Detail: "version 58 (3fa9c1d2)"},
		{Kind: agentapi.EventCert, Host: "app1", Service: "api", Detail: "until 12:00"},
		{Kind: agentapi.EventLost},
		{Kind: "new-kind", State: "x"},
	} {
		e.Time = noon()
		fmt.Fprintln(&b, EventLine(e, term.Style{}, 5, true))
	}
	golden(t, "events", b.String())
}

// Dead hosts first in the list cost a patience each five; one that answers ends
// the wait for the slow ones.
func TestAskSome(t *testing.T) {
	hosts := []string{"h01", "h02", "h03", "h04", "h05", "h06", "h07", "h08", "h09", "h10", "h11", "h12"}
	for name, c := range map[string]struct {
		ask   func(ctx context.Context, host string) (*int, error)
		hosts string // that answered
		took  time.Duration
	}{
		"all answer": {func(context.Context, string) (*int, error) { return new(int), nil }, "h01 h02 h03 h04 h05", 0},
		"the first refuse at once": {func(_ context.Context, host string) (*int, error) {
			if host < "h08" {
				return nil, errors.New("refused")
			}
			return new(int), nil
		}, "h08", 0},
		"the first hang": {func(ctx context.Context, host string) (*int, error) {
			if host < "h07" {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			return new(int), nil
		}, "h07 h08 h09 h10", 2 * askPatience},
		"one hangs": {func(ctx context.Context, host string) (*int, error) {
			if host == "h02" {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			return new(int), nil
		}, "h01 h03 h04 h05", askPatience},
		"all hang": {func(ctx context.Context, _ string) (*int, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}, "", viewTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var answered []string
			for _, a := range askSome(t.Context(), hosts, 5, c.ask) {
				if a.err == nil {
					answered = append(answered, a.host)
				}
			}
			got := strings.Join(answered, " ")
			if took := time.Since(began); took != c.took || name != "the first refuse at once" && got != c.hosts || !strings.HasPrefix(got, c.hosts) {
				t.Errorf("%s: %q after %s, want %q after %s", name, got, took, c.hosts, c.took)
			}
		})
	}
}

// A real client over real sockets: an agent that answers, one that is another
// host's, one that talks nonsense, and one that is not there.
func TestMeshStatusOverSockets(t *testing.T) {
	dir := t.TempDir()
	answers := map[string]string{"app1": body(t, shopView("app1")), "app2": body(t, shopView("db1")), "db1": "\x00nonsense"}
	for host, text := range answers {
		l, err := net.Listen("unix", filepath.Join(dir, host))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) })}
		t.Cleanup(func() { server.Close() })
		go server.Serve(l) // ends with Close
	}
	agent := func(_ context.Context, host string) (*agentapi.Client, error) {
		return agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, host))
		}), nil
	}
	d := &Deployer{Fleet: &spec.Fleet{Name: "shop"}, Now: noon}
	s := d.MeshStatus(t.Context(), agent, []string{"app1", "app2", "db1", "edge1"})
	if s.Host != "app1" || len(s.others) != 0 || s.Exit() != ExitFailed {
		t.Errorf("view of %q, %d others, exit %d", s.Host, len(s.others), s.Exit())
	}
	for _, want := range []string{`app2 (alive 4 h): what answers is the agent of "db1"`, "db1 (alive 4 h): read the agent's answer: invalid character", "edge1 (alive 4 h): ask the agent: dial unix"} {
		if !slices.ContainsFunc(s.Attention, func(n Next) bool { return strings.HasPrefix(n.Why, want) }) {
			t.Errorf("nothing says %q: %q", want, s.Attention)
		}
	}
	if c := d.MeshCerts(t.Context(), agent, []string{"app1", "edge1"}); len(c.Hosts) != 0 || c.Exit() != ExitUnreachable {
		t.Errorf("certs %+v", c)
	}
}

func body(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
