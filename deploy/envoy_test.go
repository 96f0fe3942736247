package deploy

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/rollback"
)

// oldEnvoys lets every host run an Envoy that its next system does not name; it
// stays where it is when the host is switched.
func (w *world) oldEnvoys() {
	for _, h := range w.hosts {
		h.envoy = &rollback.EnvoyState{Version: "1.40.0", Wanted: "1.40.0"}
		h.activate = func(h *fakeHost) { h.envoy.Stale, h.envoy.Wanted = true, "1.40.1" }
	}
}

func (f *fakeAgents) drained() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hosts []string
	for host, a := range f.agents {
		if a.drains > 0 {
			hosts = append(hosts, host)
		}
	}
	slices.Sort(hosts)
	return hosts
}

func (w *world) notes() string {
	var text strings.Builder
	for _, e := range w.events.Events() {
		if e.Kind == KindNote {
			text.WriteString(e.Host + ": " + e.Detail + "\n")
		}
	}
	return text.String()
}

// A switch leaves Envoy running: once a host has committed it is drained and gets
// the new one, never two hosts at a time (the fake refuses that).
func TestEnvoysAreRenewedHostByHost(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t).there()
	w.oldEnvoys()
	s := w.mustDeploy(t, 2)
	if s.Exit != ExitDone {
		t.Fatalf("exit %d:\n%s", s.Exit, w.notes())
	}
	if got := f.drained(); !slices.Equal(got, allHosts) {
		t.Errorf("drained were %v", got)
	}
	for _, r := range s.Hosts {
		if r.Envoy == nil || r.Envoy.From != "1.40.0" || r.Envoy.To != "1.40.1" || r.Envoy.Error != "" {
			t.Errorf("%s: %+v", r.Host, r.Envoy)
		}
	}
	for _, want := range []string{
		"app1: envoy 1.40.0 -> 1.40.1: restart, drained\n",
		"edge1 did not say that their Envoys knew; 2 requests cut off; nobody else has db, whose callers were refused for a moment\n",
	} {
		if !strings.Contains(w.notes(), want) {
			t.Errorf("no %q in\n%s", want, w.notes())
		}
	}
}

// An Envoy that is not renewed stops the rollout: it is told whether one still runs,
// and what to do on that host and on all.
func TestABrokenEnvoyStopsTheRollout(t *testing.T) {
	const look = "nixmesh exec --on db1 -- systemctl status nixmesh-envoy.service"
	for _, c := range []struct {
		name  string
		spoil func(w *world, f *fakeAgents)
		says  string
		next  string
	}{
		{"it does not come back", func(_ *world, f *fakeAgents) { f.agents["db1"].broken = true }, "it does not take calls: its Envoy is another one", look},
		{"it does not take its file", func(w *world, _ *fakeAgents) {
			w.hosts["db1"].onCall = func(_ *fakeHost, verb string, _ int) (int, string, string, error, bool) {
				return 1, `{"error":"envoy 1.40.1 does not take envoy.json","code":"failed"}`, "", nil, verb == rollback.VerbEnvoy
			}
		}, "envoy 1.40.1 does not take envoy.json; the one that runs goes on", look},
		{"its agent does not run", func(w *world, f *fakeAgents) {
			w.Agents = func(ctx context.Context, host string) (*agentapi.Client, error) {
				if host == "db1" {
					return nil, &Error{Exit: ExitFailed, Err: ErrNoAgent, Next: "nixmesh exec --on db1 -- systemctl status nixmesh-agent.service"}
				}
				return f.dial(ctx, host)
			}
		}, "no agent runs there; the one that runs goes on", "nixmesh exec --on db1 -- systemctl status nixmesh-agent.service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.Fleet.Rollout.Parallel = 1
			f := w.withAgents(t).there()
			w.oldEnvoys()
			c.spoil(w, f)
			s := w.mustDeploy(t, 2)
			if s.Exit != ExitDegraded || !strings.Contains(s.Title, "the Envoy of db1 was not renewed") {
				t.Errorf("exit %d, %q", s.Exit, s.Title)
			}
			if got := f.drained(); len(got) > 0 && !slices.Equal(got, []string{"db1"}) {
				t.Errorf("drained were %v", got)
			}
			if note := "db1: its Envoy was not renewed: " + c.says + "\n"; !strings.Contains(w.notes(), note) {
				t.Errorf("no %q in\n%s", note, w.notes())
			}
			var text bytes.Buffer
			WriteSummary(&text, s, term.Style{})
			for _, want := range []string{"deployed; its Envoy was not renewed: " + c.says, "\n  " + c.next, ", and tries the Envoy of db1 again; the system stays"} {
				if !strings.Contains(text.String(), want) {
					t.Errorf("no %q in\n%s", want, &text)
				}
			}
		})
	}
}

// Of hosts that commit beside one whose Envoy failed none is drained after it.
func TestNoEnvoyAfterOneThatFailed(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t).there()
	w.oldEnvoys()
	e := &execution{d: w.Deployer, plan: &Plan{Restores: 40}, envoyFailed: "db1"}
	r := e.renewEnvoy(t.Context(), "db2", EnvoyChange{From: "1.40.0", To: "1.40.1"})
	if want := "not tried after that of db1 failed; the one that runs goes on"; r.Error != want || len(f.drained()) > 0 {
		t.Errorf("got %q, drained %v; want %q", r.Error, f.drained(), want)
	}
	// A rollback is repeated by its number: the one before it is not meant.
	next, again := e.nextOfEnvoys(&Summary{Kind: ReleaseRollback, Hosts: []HostResult{{Host: "db2", End: EndDeployed, Envoy: r}}})
	if len(next) > 0 || again.Command != "nixmesh rollback --to 40" || again.Why != "tries the Envoy of db2 again; the system stays" {
		t.Errorf("next %v, again %+v", next, again)
	}
}

// What an earlier deploy left is in the plan of a host that does not change, and is
// made good without a switch.
func TestLeftEnvoysAreRenewed(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t).there()
	w.oldEnvoys()
	w.hosts["db2"].envoy.Stale, w.hosts["db2"].envoy.Wanted = true, "1.40.1"
	p, err := w.Plan(t.Context(), w.want(1), PlanOptions{Hosts: allHosts})
	if err != nil || !p.Changes() || len(p.Waves) != 0 {
		t.Fatalf("changes %v, waves %v, %v", p.Changes(), p.Waves, err)
	}
	var text bytes.Buffer
	WritePlan(&text, p, term.Style{}, noon())
	if want := "db2     no unit is touched\n  envoy 1.40.0 -> 1.40.1: restart, drained\n"; !strings.Contains(text.String(), want) {
		t.Errorf("no %q in\n%s", want, &text)
	}
	s, err := w.Execute(t.Context(), p, ExecuteOptions{})
	if err != nil || s.Exit != ExitDone {
		t.Fatalf("exit %v, %v", s, err)
	}
	if got := f.drained(); !slices.Equal(got, []string{"db2"}) {
		t.Errorf("drained were %v", got)
	}
}

func TestEnvoyChange(t *testing.T) {
	t.Parallel()
	facts := func(binary, bootstrap, version string) *hostfacts.Facts {
		return &hostfacts.Facts{Mesh: &hostfacts.Mesh{Envoy: &hostfacts.Envoy{Binary: binary, Bootstrap: bootstrap, Version: version}}}
	}
	runs := &rollback.EnvoyState{Binary: "/b", Bootstrap: "/c", Version: "1.40.0", Wanted: "1.40.0"}
	for _, c := range []struct {
		runs *rollback.EnvoyState
		next *hostfacts.Facts
		want string
	}{
		{runs, facts("/b", "/c", "1.40.0"), ""},
		{runs, facts("/b2", "/c", "1.40.1"), "envoy 1.40.0 -> 1.40.1: restart, drained"},
		{runs, facts("/b", "/c2", "1.40.0"), "envoy 1.40.0: restart, drained (it starts with another file)"},
		{&rollback.EnvoyState{Binary: "/x", Wanted: "1.40.0"}, facts("/b", "/c", "1.40.0"), "envoy -> 1.40.0: restart, drained"},
		{nil, facts("/b", "/c", "1.40.0"), ""},
		{runs, &hostfacts.Facts{}, ""},
	} {
		h := &HostPlan{Action: ActionChange, seen: &Seen{Status: &rollback.StatusAnswer{Envoy: c.runs}}}
		got := ""
		if change := h.envoyChange(c.next); change != nil {
			got = change.String()
		}
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
