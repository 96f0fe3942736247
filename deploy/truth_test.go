package deploy

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/rollback"
	"github.com/nixmesh/nixmesh/spec"
)

func wantText(t *testing.T, got string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("no %q in:\n%s", text, got)
		}
	}
}

// A release that is not for all hosts counts only its own, and the others keep
// the number of the release that brought them what they run.
func TestPartialReleaseIsNotLiveEverywhere(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	s := w.mustDeploy(t, 3, "app1")
	if want := "Release 2: deployed to 1 host (app1); 4 hosts not in it (app2 r1, db1 r1, db2 r1, edge1 r1)."; s.Title != want {
		t.Errorf("title\n got %s\nwant %s", s.Title, want)
	}
	wantText(t, w.statusText(t), "release 2 live on 1/1 host (app1), 2 min ago; 4 hosts not in it (app2 r1, db1 r1, db2 r1, edge1 r1)")

	p, err := w.PlanRollback(t.Context(), RollbackOptions{Hosts: []string{"app1"}, To: 1})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = w.Execute(t.Context(), p, ExecuteOptions{Rollback: true}); err != nil {
		t.Fatal(err)
	}
	wantText(t, s.Title, "Release 3 (= 1): deployed to 1 host (app1); 4 hosts not in it")
	wantText(t, w.statusText(t), "release 3 (= 1) live on 1/1 host (app1)")
}

func TestRolledBackReleaseIsNotLive(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.hosts["app1"].bad = &rollback.Verdict{Reason: "no"}
	w.mustDeploy(t, 3, "app1")
	text := w.statusText(t)
	wantText(t, text, "release 2 (rolled back) live on 0/1 host (app1)", "app1: release 2 rolled back there; it runs release 1")

	// The next partial release does not make it forgotten.
	w.mustDeploy(t, 3, "app2")
	wantText(t, w.statusText(t), "release 3 live on 1/1 host (app2)", "app1: release 2 rolled back there; it runs release 1")
	h := w.history(t)
	if got := h.State(h.Find(2)); got != "rolled back" {
		t.Errorf("state %q", got)
	}
}

func (w *world) history(t *testing.T) *History {
	t.Helper()
	_, h := w.Inspect(t.Context(), hostNames(w.Fleet))
	return h
}

// verifying leaves a host as a killed deploy leaves it: switched, not committed.
func (h *fakeHost) verifying(release, n int) {
	h.stuck = true
	h.journal = &rollback.JournalView{Run: "r2-beef", Release: release, Phase: rollback.PhaseVerifying, Old: h.current, New: top(h.name, n), Deadline: 40}
	h.current = top(h.name, n)
}

func TestUncommittedRunIsNotLive(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.hosts["app1"].verifying(2, 3)
	wantText(t, w.statusText(t), "1 (2 verifying)", "live on 4/5 hosts",
		"app1: run r2-beef of release 2 is verifying: unless its deployer commits it, it goes back to release 1 by itself within 40 s")

	p, err := w.Plan(t.Context(), Toplevels{"app1": top("app1", 3)}, PlanOptions{Hosts: []string{"app1"}})
	if err != nil {
		t.Fatal(err)
	}
	if h := p.Hosts[0]; h.Action != ActionChange || h.Old != top("app1", 2) {
		t.Errorf("compared with what may not stay: %s %s", h.Action, h.Old)
	}
	var b bytes.Buffer
	WritePlan(&b, p, term.Style{}, noon())
	wantText(t, b.String(), "app1: run r2-beef is verifying (another deploy, or one that was killed) and ends by itself within 40 s.")
}

func TestNeedsOperatorIsNotLive(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.hosts["app1"].journal.Phase = rollback.PhaseNeedsOperator
	wantText(t, w.statusText(t), "live on 4/5 hosts", "1 (1 needs-operator)", "needs-operator  ")
}

func TestHostThatLeftTheSpec(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.Fleet.Hosts = slices.DeleteFunc(w.Fleet.Hosts, func(h *spec.Host) bool { return h.Name == "edge1" })
	const line = "edge1 left the spec; it keeps running what release 1 left there, unmanaged"
	wantText(t, w.statusText(t), line)
	p, err := w.Plan(t.Context(), w.want(2), PlanOptions{Hosts: hostNames(w.Fleet)})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	WritePlan(&b, p, term.Style{}, noon())
	wantText(t, b.String(), line)

	h := w.history(t)
	if got := h.State(h.Find(1)); got != "4 of 5 hosts, 1 unknown" {
		t.Errorf("state %q", got)
	}
	w.mustDeploy(t, 3)
	if s := w.history(t).Before(); s == nil || s.Release.Number != 1 {
		t.Errorf("a host that left keeps the others from going back: %v", s)
	}
}

func TestReleaseStates(t *testing.T) {
	const ok, back, failed = "committed", "rolled-back", "failed"
	for want, ends := range map[string][]string{
		"complete":                              {ok, ok},
		"rolled back":                           {back, ""},
		"failed":                                {failed, failed},
		"interrupted":                           {"", ""},
		"1 of 3 hosts, 1 rolled back, 1 failed": {ok, back, failed},
		"1 of 2 hosts, 1 not started":           {ok, ""},
		"0 of 2 hosts, 1 rolled back, 1 failed": {back, failed},
		"0 of 1 hosts, 1 needs-operator":        {"needs-operator"},
	} {
		s := &Stored{Release: &Release{Number: 1, Hosts: map[string]ReleaseHost{}}, Outcomes: map[string]Outcome{}}
		for i, end := range ends {
			host := string(rune('a' + i))
			s.Release.Hosts[host] = ReleaseHost{Planned: true}
			if end != "" {
				s.Outcomes[host] = Outcome{End: end}
			}
		}
		h := &History{stored: []*Stored{s}}
		if got := h.State(s); got != want {
			t.Errorf("%v: %q, want %q", ends, got, want)
		}
	}
	away := &Stored{Release: &Release{Number: 1, Hosts: map[string]ReleaseHost{"a": {Planned: true}, "b": {Planned: true}}},
		Outcomes: map[string]Outcome{"a": {End: ok}}}
	if got := (&History{silent: map[string]bool{"b": true}}).State(away); got != "1 of 2 hosts, 1 unknown" {
		t.Errorf("away: %q", got)
	}
	s := &Stored{Release: &Release{Number: 2, Hosts: map[string]ReleaseHost{"a": {Planned: true}}}}
	if got := (&History{open: map[int][]string{2: {"a"}}}).State(s); got != "under way on a" {
		t.Errorf("under way: %q", got)
	}
}

func TestOtherSpecAsksForAttention(t *testing.T) {
	s := &FleetStatus{Spec: "a", Live: &LiveInfo{Number: 4}}
	if s.CompareSpec(false, "a"); len(s.Attention) != 0 {
		t.Errorf("the same spec: %v", s.Attention)
	}
	if s.CompareSpec(false, "b"); len(s.Attention) != 1 || s.Attention[0].Why != "the spec here is not that of release 4" {
		t.Errorf("another spec: %v", s.Attention)
	}
}

// Hosts that were compared and found unchanged are in the release; hosts that
// were not asked are not.
func TestUnchangedHostsAreInTheRelease(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	want := w.want(2, hostNames(w.Fleet)...)
	want["app1"] = top("app1", 3)
	p, err := w.Plan(t.Context(), want, PlanOptions{Hosts: hostNames(w.Fleet)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Execute(t.Context(), p, ExecuteOptions{}); err != nil {
		t.Fatal(err)
	}
	wantText(t, w.statusText(t), "release 2 live on 5/5 hosts")
}

// Every ledger host keeps every record, so that a number is never given twice,
// whatever --on says and whoever leaves the spec.
func TestLedgerHostsKeepEveryRecord(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.mustDeploy(t, 3, "edge1")
	for _, host := range LedgerHosts(w.Fleet) {
		records := w.hosts[host].records
		if n := len(records); n != 2 || records[n-1].Number != 2 {
			t.Errorf("%s keeps %d records, want releases 1 and 2", host, n)
		}
	}
}
