package deploy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/rollback"
)

// A release of the mesh alone: recorded where the others are, and no host is
// touched.
func TestMeshApply(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api"), shopMesh(5e9, "api")
	w.meshDeploy(t, 2, one)
	for _, h := range w.hosts {
		h.calls = nil
	}
	p, s := w.apply(t, 2, two)
	appliedOn(t, s, allHosts...)
	if in := f.inForce(); in.Version != 2 || in.Config.Hash() != two.Hash() || in.Release != 2 {
		t.Errorf("version %d of release %d", in.Version, in.Release)
	}
	var text bytes.Buffer
	WriteChanges(&text, p.Mesh)
	if want := "  ~ edge  web -> api timeout  2s -> 5s\n"; text.String() != want {
		t.Errorf("got %q, want %q", &text, want)
	}
	text.Reset()
	s.Mesh.Took = 0.6
	WriteApplied(&text, s, term.Style{})
	if want := "Applied on 5 of 5 agents in 0.6 s.\n"; text.String() != want {
		t.Errorf("got %q, want %q", &text, want)
	}
	for name, h := range w.hosts {
		if stored := slices.Contains(h.calls, rollback.VerbRecord); stored != slices.Contains(LedgerHosts(w.Fleet), name) {
			t.Errorf("%s: %v", name, h.calls)
		}
		if slices.ContainsFunc(h.calls, func(c string) bool { return strings.HasPrefix(c, rollback.VerbRoot) }) {
			t.Errorf("%s was touched: %v", name, h.calls)
		}
	}
	live := w.history(t).Live().Release
	if live.Kind != ReleaseMeshOnly || live.Number != 2 || live.Hosts["db2"] != (ReleaseHost{Toplevel: top("db2", 2), Same: true, Module: "module of db2, 2"}) {
		t.Errorf("the record is %+v", live)
	}
	text.Reset()
	WriteStatus(&text, w.StatusWithMesh(t.Context(), w.Agents, allHosts), term.Style{}, w.now())
	if line := "release 2 live on 5/5 hosts"; !strings.Contains(text.String(), line) {
		t.Errorf("status has no %q:\n%s", line, &text)
	}

	if p, _ := w.apply(t, 2, two); p.Mesh.Acts {
		t.Error("the same again is something to do")
	}
	if p, _ := w.apply(t, 3, shopMesh(5e9, "api", "redis")); len(p.Mesh.Needs) != 5 {
		t.Errorf("hosts that need a deploy: %v", p.Mesh.Needs)
	}
	// A rollback of it changes no host either.
	p, err := w.PlanRollback(t.Context(), RollbackOptions{})
	if err != nil || !p.Changes() || len(p.Waves) > 0 {
		t.Fatalf("%+v %v", p, err)
	}
	s, err = w.Execute(t.Context(), p, ExecuteOptions{Rollback: true})
	if err != nil {
		t.Fatal(err)
	}
	appliedOn(t, s, allHosts...)
	if in := f.inForce(); in.Version != 3 || in.Config.Hash() != one.Hash() || s.Title != "Release 3 (= 1) is of the mesh alone: no host was switched." {
		t.Errorf("version %d, %s", in.Version, s.Title)
	}
}

// Of two operators who apply at once one wins everywhere, and the other is told
// who it was.
func TestMeshApplyForks(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	w.meshDeploy(t, 2, shopMesh(2e9, "api"))
	p, err := w.PlanMesh(t.Context(), wants(2, shopMesh(5e9, "api")))
	if err != nil {
		t.Fatal(err)
	}
	faster := f.signed("bert", f.inForce(), shopMesh(7e9, "api"))
	f.agents["app1"].Apply(t.Context(), faster.Canonical(), api.Peer{})
	s, err := w.Execute(t.Context(), p, ExecuteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Exit != ExitRefused || !strings.Contains(s.Mesh.Error, "version 2 by bert is in force") {
		t.Errorf("exit %d, mesh %+v", s.Exit, s.Mesh)
	}
	if f.inForce().Operator != "bert" {
		t.Error("the loser's is in force")
	}
}

// The loser may learn of it only after an agent took what it brought.
func TestMeshApplyIsOvertaken(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	first := f.begin(shopMesh(2e9, "api"))
	ours, theirs := f.signed("anna", first, shopMesh(5e9, "api")), f.signed("bert", first, shopMesh(7e9, "api"))
	if ours.Link().Compare(theirs.Link()) > 0 {
		ours, theirs = theirs, ours
	}
	after := f.signed("bert", theirs, shopMesh(9e9, "api"))
	continued := f.signed("anna", ours, shopMesh(9e9, "api"))
	for _, c := range []struct {
		name string
		in   *mesh.Document
		lost bool
	}{
		{"ours", ours, false},
		{"the winner of the same version", theirs, true},
		{"what came after the winner", after, true},
		{"what came after ours", continued, false},
		{"what was before", first, false},
	} {
		a := f.agents["app1"]
		a.in, a.text = c.in, c.in.Canonical()
		s := a.Status()
		err := w.overtaken(t.Context(), ours, &s, "app1")
		var fork *ForkedError
		if errors.As(err, &fork) != c.lost {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A host that is away is named, gets it when it is back, and keeps what it needs
// until then.
func TestMeshApplyWithoutAHost(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api"), shopMesh(5e9, "api")
	w.meshDeploy(t, 2, one)
	w.hosts["db2"].down = true
	w.Close() // the connection of before
	f.agents["db2"].away = errCut
	p, s := w.apply(t, 2, two)
	appliedOn(t, s, "app1", "app2", "db1", "edge1")
	if s.Exit != ExitUnreachable || s.Mesh.Of != 5 || len(s.Mesh.Missing) != 1 || s.Mesh.Missing[0].Host != "db2" {
		t.Errorf("exit %d, mesh %+v", s.Exit, s.Mesh)
	}
	if in := f.agents["app1"].in; in.Version != 2 || in.Config.Hash() != two.Hash() {
		t.Errorf("version %d: %v; behind %v", in.Version, mesh.Diff(two, in.Config), p.Mesh.Behind)
	}
}

// That the agents have a document is not that the calls follow it: an Envoy that is
// waited for, one that refuses, and one that is away.
func TestMeshApplyWaitsForEnvoys(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	w.meshDeploy(t, 2, shopMesh(2e9, "api"))
	envoys := func(by map[string]string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		for name, a := range f.agents {
			a.envoy = cmp.Or(by[name], agentapi.EnvoyActs)
		}
	}
	envoys(map[string]string{"app2": agentapi.EnvoyBehind})
	began := time.Now()
	var later sync.WaitGroup
	later.Go(func() {
		time.Sleep(300 * time.Millisecond) // a while that it is behind
		envoys(nil)
	})
	_, s := w.apply(t, 2, shopMesh(5e9, "api"))
	appliedOn(t, s, allHosts...)
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("applied after %s, before the Envoy of app2 had it", took)
	}
	later.Wait()

	envoys(map[string]string{"app1": agentapi.EnvoyRefuses})
	_, s = w.apply(t, 2, shopMesh(6e9, "api"))
	if s.Exit != ExitFailed || len(s.Mesh.Missing) != 1 || s.Mesh.Missing[0].Error != envoyLags("app1", agentapi.EnvoyRefuses) {
		t.Errorf("exit %d, mesh %+v", s.Exit, s.Mesh)
	}
	envoys(map[string]string{"app1": agentapi.EnvoyAway})
	began = time.Now()
	_, s = w.apply(t, 2, shopMesh(7e9, "api"))
	if took := time.Since(began); s.Exit != ExitFailed || len(s.Mesh.Missing) != 1 || !strings.Contains(s.Mesh.Missing[0].Error, "not connected") || took < awayPatience || took >= w.Times.Publish {
		t.Errorf("after %s exit %d, mesh %+v", took, s.Exit, s.Mesh)
	}
}

// The agents take a document, and nobody hears of them again: it is not told as applied.
func TestMeshApplyOfAgentsThatDie(t *testing.T) {
	w := newWorld()
	w.withAgents(t)
	w.meshDeploy(t, 2, shopMesh(2e9, "api"))
	dial, sign := w.Agents, w.SignMesh
	var mu sync.Mutex
	var put map[string]bool // hosts that were given it
	w.SignMesh = func(ctx context.Context, namespace string, body []byte) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		put = map[string]bool{}
		return sign(ctx, namespace, body)
	}
	w.Agents = func(ctx context.Context, host string) (*agentapi.Client, error) {
		mu.Lock()
		defer mu.Unlock()
		if put[host] {
			return nil, errCut
		}
		if put != nil {
			put[host] = true
		}
		return dial(ctx, host)
	}
	w.Times.Publish = time.Second
	_, s := w.apply(t, 2, shopMesh(5e9, "api"))
	if s.Exit != ExitFailed || len(s.Mesh.Applied) > 0 || len(s.Mesh.Missing) != len(allHosts) {
		t.Errorf("exit %d, mesh %+v", s.Exit, s.Mesh)
	}
	for _, m := range s.Mesh.Missing {
		if m.Error != envoyLags(m.Host, envoyUnknown) {
			t.Errorf("%s: %s", m.Host, m.Error)
		}
	}
}

// An interruption comes before the release or after it: what is signed is both
// recorded and published, and what is not is neither.
func TestMeshApplyInterrupted(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	w.meshDeploy(t, 2, shopMesh(2e9, "api"))
	interrupt := func(at string) (kept bool, version int64, err error) {
		p, err := w.PlanMesh(t.Context(), wants(2, shopMesh(5e9, "api")))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range w.hosts {
			h.calls = nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sign := w.Sign
		defer func() { w.Sign = sign }()
		if at == "sign" {
			w.Sign = func(ctx context.Context, body []byte) (string, error) {
				defer cancel()
				return sign(ctx, body)
			}
		} else {
			cancel()
		}
		_, err = w.Execute(ctx, p, ExecuteOptions{})
		for _, h := range w.hosts {
			kept = kept || slices.Contains(h.calls, rollback.VerbRecord)
		}
		return kept, f.inForce().Version, err
	}
	if kept, version, err := interrupt("plan"); kept || version != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("before: recorded %t, version %d in force, %v", kept, version, err)
	}
	if kept, version, err := interrupt("sign"); !kept || version != 2 || err != nil {
		t.Errorf("after: recorded %t, version %d in force, %v", kept, version, err)
	}
}

// held takes what steers calls from the spec, and what is there from both.
func TestHeldConfiguration(t *testing.T) {
	t.Parallel()
	live, next := shopMesh(2e9, "api", "redis"), shopMesh(5e9, "api", "postgres")
	next.Hosts["db2"].Address = "10.0.0.99"
	c, err := held(live, next)
	if err != nil {
		t.Fatal(err)
	}
	kept, waits := keeps(c, next)
	if !slices.Equal(kept, []string{"edge web -> redis"}) || len(waits) > 0 || c.Hosts["db2"].Address != "10.0.0.99" {
		t.Errorf("kept %v, waits %v", kept, waits)
	}
}

// Every host is told of once, and the worst of them is the exit code.
func TestMeshResultOfHosts(t *testing.T) {
	t.Parallel()
	r := &MeshResult{Took: 0.6}
	u := &uptake{applied: map[string]bool{"app1": true}}
	r.missing([]string{"app1", "app2", "db1", "db2", "edge1"}, publication{agents: []string{"app1", "app2"}, unasked: []string{"db1"}, none: []string{"db2"}},
		map[string]error{"app2": errors.New("app2 refuses it: the key was removed from the fleet")}, u)
	r.end(nil)
	want := "applied on 1 of 4 agents in 0.6 s; app2: refuses it: the key was removed from the fleet; db1: not yet; edge1: not reached"
	if r.String() != want || r.Exit != ExitFailed {
		t.Errorf("got  %s, exit %d\nwant %s", r, r.Exit, want)
	}
	r = &MeshResult{}
	r.missing([]string{"app1", "db2", "edge1"}, publication{agents: []string{"app1"}, none: []string{"db2", "edge1"}, owed: []string{"db2"}}, nil, u)
	r.end(nil)
	if want := "applied on 1 of 2 agents in 0.0 s; db2: no agent runs there"; r.String() != want || r.Exit != ExitUnreachable {
		t.Errorf("got  %s, exit %d\nwant %s", r, r.Exit, want)
	}
	for exit, err := range map[Exit]error{
		ExitRefused:     &ForkedError{},
		ExitUnreachable: &LostError{Host: "app1", Err: errCut},
		ExitFailed:      errors.New("no agent took it"),
	} {
		if r.end(err); r.Exit != exit || r.Error == "" {
			t.Errorf("%v: exit %d, want %d", err, r.Exit, exit)
		}
	}
}
