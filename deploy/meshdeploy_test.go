package deploy

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/rollback"
)

var allHosts = []string{"app1", "app2", "db1", "db2", "edge1"}

// hashes of configurations, for what agents took.
func hashes(configs ...*mesh.Config) []string {
	var all []string
	for _, c := range configs {
		all = append(all, c.Hash())
	}
	return all
}

// mustUnion is what is in force between two configurations.
func mustUnion(t *testing.T, a, b *mesh.Config) *mesh.Config {
	t.Helper()
	u, err := mesh.Union(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// Hosts that get their first agent get the configuration with it, and the next
// deploy adds before its first host and removes after its last.
func TestDeployPublishesTheMesh(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api", "redis"), shopMesh(3e9, "api", "postgres")
	s := w.meshDeploy(t, 2, one)
	appliedOn(t, s, allHosts...)
	first := f.inForce()
	if first.Version != 1 || first.Release != 1 || first.Operator != "anna" || s.Exit != ExitDone || s.MeshHeld != "" {
		t.Errorf("version %d of release %d by %s, exit %d, held %q", first.Version, first.Release, first.Operator, s.Exit, s.MeshHeld)
	}
	record := w.history(t).Live().Release
	if m := record.Mesh; m == nil || m.Version != 1 || m.Hash != first.Hash() || m.Config != one.Hash() || m.During != "" {
		t.Errorf("the record says %+v", m)
	}
	if got := record.Hosts["db1"].Module; got != "module of db1, 2" {
		t.Errorf("the record says db1 was built from %q", got)
	}

	between := mustUnion(t, one, two)
	w.hosts["db1"].activate = func(*fakeHost) {
		if in := f.inForce(); in.Config.Hash() != between.Hash() || in.Version != 2 {
			t.Errorf("when the first host is switched version %d is in force, with %v", in.Version, mesh.Diff(between, in.Config))
		}
	}
	s = w.meshDeploy(t, 3, two)
	appliedOn(t, s, allHosts...)
	in := f.inForce()
	if in.Version != 3 || in.Config.Hash() != two.Hash() || in.Release != 2 {
		t.Errorf("version %d of release %d is in force", in.Version, in.Release)
	}
	if got := f.agents["edge1"].took; !slices.Equal(got, hashes(one, between, two)) {
		t.Errorf("edge1 acted on %d configurations: %v", len(got), got)
	}
	if m := w.history(t).Live().Release.Mesh; m.Version != 3 || m.Hash != in.Hash() || m.During != between.Hash() || !slices.Equal(m.Kept, []string{"edge web -> redis"}) {
		t.Errorf("the record says %+v", m)
	}
	// Nothing changed, so nothing is done.
	p, err := w.Plan(t.Context(), w.want(3), PlanOptions{Hosts: allHosts, Mesh: wants(3, two)})
	if err != nil || p.Changes() || len(p.Mesh.Changes) > 0 {
		t.Errorf("planned again: %+v %v", p.Mesh, err)
	}
}

// A deploy that fails half-way leaves what both sides need in force, says so,
// and the one that ends it takes the rest away.
func TestFailedDeployKeepsTheUnion(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api", "redis"), shopMesh(3e9, "api", "postgres")
	w.meshDeploy(t, 2, one)
	w.hosts["app2"].bad = &rollback.Verdict{Reason: "api: 503", Service: "api"}
	s := w.meshDeploy(t, 3, two)
	if s.Exit != ExitRolledBack || f.inForce().Config.Hash() != mustUnion(t, one, two).Hash() {
		t.Errorf("exit %d, %v", s.Exit, mesh.Diff(f.inForce().Config, two))
	}
	want := "Until 3 hosts run this release (app1, app2, edge1): 1 edge kept (web -> redis), 1 edge waits (web -> api timeout)."
	if s.MeshHeld != want {
		t.Errorf("held %q\nwant %q", s.MeshHeld, want)
	}
	var text bytes.Buffer
	WriteStatus(&text, w.StatusWithMesh(t.Context(), w.Agents, allHosts), term.Style{}, noon())
	if line := "3 hosts behind: 1 edge kept (web -> redis), 1 edge waits (web -> api timeout)"; !strings.Contains(text.String(), line) {
		t.Errorf("status has no %q:\n%s", line, &text)
	}
	w.hosts["app2"].bad = nil
	s = w.meshDeploy(t, 3, two)
	appliedOn(t, s, allHosts...)
	if in := f.inForce(); in.Version != 3 || in.Config.Hash() != two.Hash() || s.MeshHeld != "" {
		t.Errorf("version %d, held %q", in.Version, s.MeshHeld)
	}
}

// A deploy of some hosts keeps what the others need, until the last is current.
func TestPartialDeployKeepsEdges(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api", "redis"), shopMesh(2e9, "api", "postgres")
	w.meshDeploy(t, 2, one)
	s := w.meshDeploy(t, 3, two, "app1", "app2")
	appliedOn(t, s, allHosts...)
	union := mustUnion(t, one, two)
	if in := f.inForce(); in.Config.Hash() != union.Hash() || s.Exit != ExitDone {
		t.Errorf("in force: %v", mesh.Diff(union, in.Config))
	}
	m := w.history(t).Live().Release.Mesh
	if m.Config != union.Hash() || !slices.Equal(m.Behind, []string{"db1", "db2", "edge1"}) || !slices.Equal(m.Kept, []string{"edge web -> redis"}) {
		t.Errorf("the record says %+v", m)
	}
	var text bytes.Buffer
	WriteStatus(&text, w.StatusWithMesh(t.Context(), w.Agents, allHosts), term.Style{}, noon())
	if line := "3 hosts behind: 1 edge kept (web -> redis)"; !strings.Contains(text.String(), line) {
		t.Errorf("status has no %q:\n%s", line, &text)
	}
	w.meshDeploy(t, 3, two, "db1")
	if in := f.inForce(); in.Config.Hash() != union.Hash() {
		t.Error("two hosts are behind, and what they need is gone")
	}
	// The last one: the others are known to be current by their releases.
	s = w.meshDeploy(t, 3, two, "db2", "edge1")
	if in := f.inForce(); in.Config.Hash() != two.Hash() || s.MeshHeld != "" {
		t.Errorf("all are current: %v, held %q", mesh.Diff(two, in.Config), s.MeshHeld)
	}
}

// A rollback signs the older configuration again, from agents where the copy
// here is gone.
func TestRollbackBringsTheMeshBack(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api", "redis"), shopMesh(3e9, "api", "postgres")
	w.meshDeploy(t, 2, one)
	w.meshDeploy(t, 3, two)
	if err := os.RemoveAll(w.Local.Dir); err != nil {
		t.Fatal(err)
	}
	p, err := w.PlanRollback(t.Context(), RollbackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	WriteRollback(&text, p, term.Style{}, noon())
	if line := "mesh  signed again as version 5 (contents of 1)"; !strings.Contains(text.String(), line) {
		t.Errorf("no %q:\n%s", line, &text)
	}
	s, err := w.Execute(t.Context(), p, ExecuteOptions{Rollback: true})
	if err != nil {
		t.Fatal(err)
	}
	appliedOn(t, s, allHosts...)
	in := f.inForce()
	if in.Version != 5 || in.Config.Hash() != one.Hash() || in.Release != 3 {
		t.Errorf("version %d of release %d: %v", in.Version, in.Release, mesh.Diff(one, in.Config))
	}
	if r := w.history(t).Live().Release; r.Hosts["db1"].Module != "module of db1, 2" || r.Mesh.Config != one.Hash() {
		t.Errorf("the record says %+v", r)
	}
	// The spec is of release 2 still: its mesh cannot be had without its hosts.
	if p, _ := w.apply(t, 3, two); len(p.Mesh.Needs) != 5 {
		t.Errorf("hosts that need a deploy are %v", p.Mesh.Needs)
	}
}

// One host may lie about what is in force; most of them do not, whoever signed.
func TestLiveMeshIsVerified(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one := shopMesh(2e9, "api")
	first := f.begin(one)
	forged := mesh.NextDocument(first, shopMesh(2e9, "api", "postgres"), "anna")
	if err := forged.Sign(func(string, []byte) (string, error) { return first.Signature, nil }); err != nil {
		t.Fatal(err)
	}
	liar := f.agents["edge1"]
	liar.in, liar.text = forged, forged.Canonical()
	live := w.liveMesh(t.Context(), allHosts, &History{})
	if live.document.Hash() != first.Hash() || len(live.notes) != 1 || !strings.Contains(live.notes[0], "edge1: version 2 by anna is left out") {
		t.Errorf("live is version %d by %s, notes %q", live.document.Version, live.from, live.notes)
	}
	// One that answers alone is no majority.
	if live := w.liveMesh(t.Context(), []string{"edge1"}, &History{}); live.document != nil || len(live.notes) != 1 {
		t.Errorf("one host alone is believed: %+v", live)
	}
	// An operator who has left the spec signed what is in force.
	second := f.signed("bert", first, shopMesh(5e9, "api"))
	for _, a := range f.agents {
		a.in, a.text = second, second.Canonical()
	}
	w.Fleet.Operators = w.Fleet.Operators[:1]
	if live := w.liveMesh(t.Context(), allHosts, &History{}); live.document == nil || live.document.Hash() != second.Hash() {
		t.Errorf("what all act on is left out: %q", live.notes)
	}
	// The newest release vouches for it, too, where one host answers alone.
	vouched := &History{stored: []*Stored{{Release: &Release{Mesh: &ReleaseMesh{Version: 2, Config: second.Config.Hash()}}}}}
	if live := w.liveMesh(t.Context(), []string{"edge1"}, vouched); live.document == nil {
		t.Errorf("what the release names is left out: %q", live.notes)
	}
	vouched.stored[0].Release.Mesh.Version = 1
	if live := w.liveMesh(t.Context(), []string{"edge1"}, vouched); live.document != nil {
		t.Error("a version beyond the release's is believed")
	}
	liar.in, liar.text = nil, []byte(`{"schema":"nixmesh.document/9"}`)
	if live := w.liveMesh(t.Context(), allHosts, &History{}); len(live.agents) != 5 {
		t.Errorf("agents are %v", live.agents)
	}
}

// A release whose hosts are in order does not fail by its mesh, and says how that
// came out.
func TestDeployWhoseMeshIsRefused(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api", "redis"), shopMesh(3e9, "api", "postgres")
	w.meshDeploy(t, 2, one)
	for _, a := range f.agents {
		a.signers.Keys = map[string][]string{"bert": {f.keys["bert"].Authorized}}
	}
	s := w.meshDeploy(t, 3, two)
	wantEnds(t, s, all(EndDeployed))
	if s.Exit != ExitFailed || s.Mesh.Error == "" || !strings.Contains(s.Mesh.Error, "refuses it") {
		t.Errorf("exit %d, mesh %+v", s.Exit, s.Mesh)
	}
	if in := f.inForce(); in.Version != 1 {
		t.Errorf("version %d is in force", in.Version)
	}
	if n := s.Next; len(n) == 0 || n[0].Command != "nixmesh mesh apply" {
		t.Errorf("next is %v", n)
	}
	// A key that cannot sign is no reason to switch no host.
	w.SignMesh = func(context.Context, string, []byte) (string, error) { return "", errors.New("the agent is locked") }
	s = w.meshDeploy(t, 4, one)
	wantEnds(t, s, all(EndDeployed))
}

// Agents that were dead when the deploy was planned, and came back with it, have
// a document that nobody knew of.
func TestDeployRebasesOnWhatAppears(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api", "redis"), shopMesh(3e9, "api", "postgres")
	old := f.signed("anna", nil, one)
	for _, a := range f.agents {
		a.in, a.text = old, old.Canonical()
	}
	s := w.meshDeploy(t, 2, two) // its agents are absent until their hosts have committed
	appliedOn(t, s, allHosts...)
	if in := f.inForce(); in.Version != 2 || in.Config.Hash() != two.Hash() {
		t.Errorf("version %d: %v", in.Version, mesh.Diff(two, in.Config))
	}
}

// A deploy that finds all hosts current is a release of the mesh alone.
func TestDeployOfTheMeshAlone(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	one, two := shopMesh(2e9, "api"), shopMesh(5e9, "api")
	w.meshDeploy(t, 2, one)
	s := w.meshDeploy(t, 2, two)
	appliedOn(t, s, allHosts...)
	if in := f.inForce(); in.Version != 2 || in.Config.Hash() != two.Hash() || w.history(t).Live().Release.Kind != ReleaseMeshOnly {
		t.Errorf("version %d: %v", in.Version, mesh.Diff(two, in.Config))
	}
	wantEnds(t, s, all(EndUnchanged))
}

// A test leaves the mesh alone.
func TestDeployTestPublishesNothing(t *testing.T) {
	w := newWorld()
	f := w.withAgents(t)
	first := f.begin(shopMesh(2e9, "api"))
	p, err := w.Plan(t.Context(), w.want(2), PlanOptions{Hosts: allHosts, Mesh: wants(2, shopMesh(2e9, "api", "redis"))})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Execute(t.Context(), p, ExecuteOptions{Run: RunOptions{Test: true}})
	if err != nil || s.Mesh != nil || f.inForce().Hash() != first.Hash() {
		t.Errorf("mesh %+v, %v", s.Mesh, err)
	}
}
