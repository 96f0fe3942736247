package deploy

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/rollback"
)

// deployTo plans and executes generation n on hosts (all when none is named).
func (w *world) deployTo(t *testing.T, ctx context.Context, n int, o ExecuteOptions, hosts ...string) (*Summary, error) {
	t.Helper()
	if len(hosts) == 0 {
		hosts = hostNames(w.Fleet)
	}
	p, err := w.Plan(ctx, w.want(n, hosts...), PlanOptions{Hosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	return w.Execute(ctx, p, o)
}

func (w *world) mustDeploy(t *testing.T, n int, hosts ...string) *Summary {
	t.Helper()
	s, err := w.deployTo(t, t.Context(), n, ExecuteOptions{}, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ends(s *Summary) map[string]End {
	m := map[string]End{}
	for _, h := range s.Hosts {
		m[h.Host] = h.End
	}
	return m
}

func wantEnds(t *testing.T, s *Summary, want map[string]End) {
	t.Helper()
	if got := ends(s); !maps.Equal(got, want) {
		t.Errorf("ends:\n got %v\nwant %v", got, want)
	}
}

func all(e End) map[string]End {
	return map[string]End{"app1": e, "app2": e, "db1": e, "db2": e, "edge1": e}
}

func TestDeployAllHosts(t *testing.T) {
	w := newWorld()
	s := w.mustDeploy(t, 2)
	wantEnds(t, s, all(EndDeployed))
	if s.Exit != ExitDone || s.Number != 1 || s.Live != 5 {
		t.Errorf("summary: exit %d release %d live %d", s.Exit, s.Number, s.Live)
	}
	for name, h := range w.hosts {
		if h.current != top(name, 2) || h.profile != top(name, 2) {
			t.Errorf("%s runs %s, boots %s", name, h.current, h.profile)
		}
		if len(h.records) != 1 || len(h.lease) != 0 {
			t.Errorf("%s: %d records, leases %v", name, len(h.records), h.lease)
		}
		if h.dials < 2 {
			t.Errorf("%s: the new system was not proved over a fresh connection", name)
		}
		if h.request.Signatures[0] != "anna-1:"+top(name, 2) {
			t.Errorf("%s: signatures %v", name, h.request.Signatures)
		}
	}
}

// Records and roots are on every host before the first one is switched.
func TestRecordedBeforeFirstSwitch(t *testing.T) {
	w := newWorld()
	for _, h := range w.hosts {
		h.activate = func(*fakeHost) {
			for _, o := range w.hosts {
				if o == h {
					continue
				}
				o.mu.Lock()
				if len(o.records) == 0 || o.journal == nil {
					t.Errorf("%s switches before %s is rooted", h.name, o.name)
				}
				o.mu.Unlock()
			}
		}
	}
	w.Fleet.Rollout.Parallel = 1
	w.mustDeploy(t, 2)
}

func TestUnchangedIsNotTouched(t *testing.T) {
	w := newWorld()
	p, err := w.Plan(t.Context(), w.want(1), PlanOptions{Hosts: hostNames(w.Fleet)})
	if err != nil || p.Changes() || p.Exit() != ExitDone {
		t.Fatalf("changes %v exit %d err %v", p.Changes(), p.Exit(), err)
	}
}

func TestBadVerdictStopsTheRollout(t *testing.T) {
	w := newWorld()
	w.hosts["app2"].bad = &rollback.Verdict{Reason: "api: GET /healthz 503 for 90 s", Service: "api", Log: []string{"stripe: no key"}}
	s := w.mustDeploy(t, 2)
	wantEnds(t, s, map[string]End{"db1": EndDeployed, "db2": EndDeployed, "app2": EndRolledBack, "app1": EndNotStarted, "edge1": EndNotStarted})
	if s.Exit != ExitRolledBack {
		t.Errorf("exit %d", s.Exit)
	}
	for _, h := range []string{"app1", "edge1"} {
		if j := w.hosts[h].journal; j.Phase != rollback.PhaseFailed {
			t.Errorf("%s was prepared and never started, and its run is %s", h, j.Phase)
		}
	}
	if a := w.Status(t.Context(), hostNames(w.Fleet)).Attention; slices.ContainsFunc(a, func(n Next) bool { return strings.Contains(n.Why, "run r") }) {
		t.Errorf("attention %v", a)
	}
	if !strings.Contains(s.Title, "wave 2 of 4") || !strings.Contains(s.Title, `on_fail = "stop"`) {
		t.Errorf("title %q", s.Title)
	}
	var told bool
	for _, e := range w.events.Events() {
		told = told || e.Kind == KindFailure && e.Host == "app2" && slices.Contains(e.Log, "stripe: no key")
	}
	if !told {
		t.Error("the failing check and the log were not told")
	}
}

func TestMaxFailedGoesOn(t *testing.T) {
	w := newWorld()
	w.Fleet.Rollout.MaxFailed = 1
	w.hosts["app2"].bad = &rollback.Verdict{Reason: "no"}
	s := w.mustDeploy(t, 2)
	wantEnds(t, s, map[string]End{"db1": EndDeployed, "db2": EndDeployed, "app2": EndRolledBack, "app1": EndDeployed, "edge1": EndDeployed})
}

func TestRevertWaveAndRelease(t *testing.T) {
	for action, want := range map[string]map[string]End{
		OnFailRevertWave:    {"db1": EndDeployed, "db2": EndDeployed, "app2": EndDeployed, "app1": EndRolledBack, "edge1": EndNotStarted},
		OnFailRevertRelease: {"db1": EndReverted, "db2": EndReverted, "app2": EndReverted, "app1": EndRolledBack, "edge1": EndNotStarted},
	} {
		w := newWorld()
		w.Fleet.Rollout.OnFail = action
		w.hosts["app1"].bad = &rollback.Verdict{Reason: "no"}
		s := w.mustDeploy(t, 2)
		wantEnds(t, s, want)
		if s.Exit != ExitRolledBack {
			t.Errorf("%s: exit %d", action, s.Exit)
		}
		if action == OnFailRevertRelease && w.hosts["db1"].profile != top("db1", 1) {
			t.Errorf("db1 boots %s", w.hosts["db1"].profile)
		}
	}
}

func TestUnreachableHostDoesNotStopTheOthers(t *testing.T) {
	w := newWorld()
	w.hosts["app1"].down = true
	s := w.mustDeploy(t, 2)
	want := all(EndDeployed)
	want["app1"] = EndUnreachable
	wantEnds(t, s, want)
	if s.Exit != ExitUnreachable {
		t.Errorf("exit %d", s.Exit)
	}
	r, err := readRecord(w.hosts["db1"].records[0])
	if err != nil || !r.Release.Hosts["app1"].Planned || r.Release.Hosts["app1"].Toplevel != top("app1", 2) {
		t.Errorf("the record does not plan the host that was away: %+v %v", r.Release.Hosts["app1"], err)
	}
}

func TestLeaseHeldIsRefused(t *testing.T) {
	w := newWorld()
	w.hosts["app2"].lease["run"] = &rollback.Lease{Run: "r9-beef", Holder: "bob@desk", Reason: "release 9", Age: 4}
	_, err := w.deployTo(t, t.Context(), 2, ExecuteOptions{})
	if ExitOf(err) != ExitRefused || !strings.Contains(err.Error(), "bob@desk deploys here (release 9), renewed 4 s ago") {
		t.Fatalf("exit %d: %v", ExitOf(err), err)
	}
	for _, h := range w.hosts {
		if h.answers[rollback.VerbRoot] > 0 || h.lease["ledger"] != nil {
			t.Errorf("%s: calls %v, leases %v", h.name, h.calls, h.lease)
		}
	}
}

// stalling is a connection that stalls with renewals and goodbyes on it.
type stalling struct{ remote.Host }

func (c stalling) Run(ctx context.Context, cmd remote.Command) (int, error) {
	if strings.Contains(cmd.Line, "lease drop") || strings.Contains(cmd.Line, "lease renew") {
		select {
		case <-ctx.Done():
			return -1, ctx.Err()
		case <-time.After(6 * time.Second):
		}
	}
	return c.Host.Run(ctx, cmd)
}

func (w *world) stall() {
	dial := w.Dial
	w.Dial = func(ctx context.Context, target remote.Target) (remote.Host, error) {
		c, err := dial(ctx, target)
		return stalling{c}, err
	}
}

// What a stall holds up is dropped all the same, or the next deploy would be
// refused by the lease of this one.
func TestLeaseIsDroppedThroughAStall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.stall()
		w.mustDeploy(t, 2)
		wantEnds(t, w.mustDeploy(t, 3), all(EndDeployed))
	})
}

// The end of a renewal that is under way ends the connection that it is on.
func TestLeaseIsDroppedDuringARenewal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.stall()
		w.Times.Renew = 10 * time.Second
		ls := w.newLeases("release 2")
		if _, err := ls.take(t.Context(), newLink(remote.Target{Name: "db1", User: "deploy"}, w.Dial), leaseRun, "r2-beef", 0); err != nil {
			t.Fatal(err)
		}
		ls.keep(t.Context())
		time.Sleep(w.Times.Renew + time.Second)
		ls.drop(t.Context())
		if held := w.hosts["db1"].lease; len(held) != 0 {
			t.Errorf("left: %v", held)
		}
	})
}

// A host that went away does not hold up the end: its lease goes stale.
func TestLeaseOfAHostThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		ls := w.newLeases("release 2")
		l := newLink(remote.Target{Name: "db1", User: "deploy"}, w.Dial)
		if _, err := ls.take(t.Context(), l, leaseRun, "r2-beef", 0); err != nil {
			t.Fatal(err)
		}
		w.hosts["db1"].down = true
		l.close()
		begun := time.Now()
		ls.drop(t.Context())
		if took := time.Since(begun); took > dropAway+time.Second {
			t.Errorf("the goodbye took %s", took)
		}
	})
}

func TestWaitLock(t *testing.T) {
	w := newWorld()
	h := w.hosts["app2"]
	h.lease["run"] = &rollback.Lease{Run: "r9-beef", Holder: "bob@desk", Reason: "release 9"}
	h.onCall = func(h *fakeHost, verb string, n int) (int, string, string, error, bool) {
		if verb == rollback.VerbLease && n == 4 {
			delete(h.lease, "run")
		}
		return 0, "", "", nil, false
	}
	if _, err := w.deployTo(t, t.Context(), 2, ExecuteOptions{WaitLock: time.Minute}); !errors.Is(err, ErrMoved) {
		t.Fatalf("after waiting the plan is old: %v", err)
	}
	s, err := w.deployTo(t, t.Context(), 2, ExecuteOptions{WaitLock: time.Minute})
	if err != nil || s.Exit != ExitDone {
		t.Fatalf("%v %v", s, err)
	}
}

// The connection drops in the middle of the switch, the host goes on, and the
// deployer commits over a new one.
func TestConnectionLostDuringSwitch(t *testing.T) {
	w := newWorld()
	h := w.hosts["db1"]
	h.activate = func(h *fakeHost) { h.epoch++; h.downFor = 3 }
	s := w.mustDeploy(t, 2, "db1")
	wantEnds(t, s, map[string]End{"db1": EndDeployed})
	var notes []string
	for _, e := range w.events.Events() {
		if e.Kind == KindNote && e.Host == "db1" {
			notes = append(notes, e.Detail)
		}
	}
	if len(notes) != 2 || !strings.Contains(notes[0], "connection lost") || notes[1] != "connected again" {
		t.Errorf("notes %q", notes)
	}
}

// A host that never answers again is reported so after its own deadline.
func TestHostNeverAnswersAgain(t *testing.T) {
	w := newWorld()
	w.Fleet.Rollout.ActivateTimeout, w.Fleet.Rollout.Confirm = -29*time.Second, -time.Second
	w.hosts["db1"].activate = func(h *fakeHost) { h.down = true; h.epoch++ }
	s := w.mustDeploy(t, 2, "db1")
	wantEnds(t, s, map[string]End{"db1": EndNoAnswer})
	if s.Exit != ExitUnreachable {
		t.Errorf("exit %d", s.Exit)
	}
}

// sudo fails now and then while an activation moves /run/current-system.
func TestSudoHiccups(t *testing.T) {
	w := newWorld()
	w.hosts["db1"].onCall = func(h *fakeHost, verb string, n int) (int, string, string, error, bool) {
		if (verb == rollback.VerbStatus || verb == rollback.VerbCommit) && h.answers[rollback.VerbActivate] > 0 && n%3 != 0 {
			return 1, "", "sudo: a password is required\n", nil, true
		}
		return 0, "", "", nil, false
	}
	s := w.mustDeploy(t, 2, "db1")
	wantEnds(t, s, map[string]End{"db1": EndDeployed})
}

// NEW's sshd is broken: no fresh connection can be had, the host's timer B
// brings OLD back, and the old connection tells.
func TestNoFreshConnection(t *testing.T) {
	w := newWorld()
	h := w.hosts["db1"]
	h.activate = func(h *fakeHost) {
		h.dialErr = &remote.DialError{Host: "db1", Stage: "connect", What: "connection refused"}
	}
	h.onCall = func(h *fakeHost, verb string, n int) (int, string, string, error, bool) {
		if verb == rollback.VerbStatus && n > 8 && h.journal.Phase == rollback.PhaseVerifying {
			h.journal.Phase, h.journal.Reason = rollback.PhaseRollingBack, "nobody committed within 120 s"
		}
		return 0, "", "", nil, false
	}
	s := w.mustDeploy(t, 2, "db1")
	wantEnds(t, s, map[string]End{"db1": EndRolledBack})
	if s.Hosts[0].Reason != "nobody committed within 120 s" || h.answers[rollback.VerbCommit] != 0 {
		t.Errorf("reason %q, %d commits", s.Hosts[0].Reason, h.answers[rollback.VerbCommit])
	}
}

// A host that was rebooted in between must not be committed.
func TestRebootInBetween(t *testing.T) {
	w := newWorld()
	h := w.hosts["db1"]
	h.onCall = func(h *fakeHost, verb string, n int) (int, string, string, error, bool) {
		if h.journal != nil && h.journal.Phase == rollback.PhaseVerifying && h.journal.Verdict != nil {
			h.boot = "another"
			if n > 8 {
				h.journal.Phase, h.journal.Reason = rollback.PhaseRollingBack, "rebooted"
			}
		}
		return 0, "", "", nil, false
	}
	s := w.mustDeploy(t, 2, "db1")
	wantEnds(t, s, map[string]End{"db1": EndRolledBack})
	if h.answers[rollback.VerbCommit] != 0 {
		t.Error("a rebooted host was committed")
	}
}

func TestCopyFailsAndIsRetried(t *testing.T) {
	w := newWorld()
	w.store.copyErr = map[string][]error{"db1": {errors.New("unexpected end-of-file")}}
	wantEnds(t, w.mustDeploy(t, 2, "db1"), map[string]End{"db1": EndDeployed})

	w = newWorld()
	w.store.copyErr = map[string][]error{"db1": {errors.New("lacks a signature by a trusted key")}}
	s := w.mustDeploy(t, 2)
	want := all(EndNotStarted)
	want["db1"] = EndFailed
	wantEnds(t, s, want)
	if s.Exit != ExitFailed {
		t.Errorf("exit %d", s.Exit)
	}
	for n, h := range w.hosts {
		if h.answers[rollback.VerbActivate] != 0 {
			t.Errorf("%s was switched though a copy failed", n)
		}
		if h.journal != nil && h.journal.Phase != rollback.PhaseFailed {
			t.Errorf("%s: the run that was prepared in vain is %s", n, h.journal.Phase)
		}
	}
}

func TestGuardRefusal(t *testing.T) {
	w := newWorld()
	w.hosts["db1"].onCall = func(h *fakeHost, verb string, n int) (int, string, string, error, bool) {
		if verb == rollback.VerbActivate {
			return 6, `{"error":"/boot has room for 0 more systems","code":"guard"}`, "", nil, true
		}
		return 0, "", "", nil, false
	}
	s := w.mustDeploy(t, 2, "db1")
	wantEnds(t, s, map[string]End{"db1": EndFailed})
	if s.Hosts[0].Reason != "/boot has room for 0 more systems" {
		t.Errorf("reason %q", s.Hosts[0].Reason)
	}
}

func TestDriftIsRefusedUnlessAccepted(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.hosts["app1"].current = top("app1", 9)
	p, err := w.Plan(t.Context(), w.want(3), PlanOptions{Hosts: hostNames(w.Fleet)})
	if err != nil || p.Exit() != ExitRefused {
		t.Fatalf("exit %d err %v", p.Exit(), err)
	}
	p, err = w.Plan(t.Context(), w.want(3), PlanOptions{Hosts: hostNames(w.Fleet), Accept: []string{RiskDrift}})
	if err != nil || p.Exit() != ExitDone {
		t.Fatalf("exit %d err %v", p.Exit(), err)
	}
	s, err := w.Execute(t.Context(), p, ExecuteOptions{})
	if err != nil || s.Exit != ExitDone {
		t.Fatalf("%v %v", s, err)
	}
}

func TestSwappedAddresses(t *testing.T) {
	w := newWorld()
	w.hosts["app1"], w.hosts["app2"] = w.hosts["app2"], w.hosts["app1"]
	p, err := w.Plan(t.Context(), w.want(2), PlanOptions{Hosts: hostNames(w.Fleet)})
	if err != nil || p.Exit() != ExitRefused {
		t.Fatalf("exit %d err %v", p.Exit(), err)
	}
	for _, h := range p.Hosts {
		if h.Host == "app1" && !strings.Contains(h.Problem.Text, "is host app2 of this fleet, not app1") {
			t.Errorf("problem %q", h.Problem.Text)
		}
	}
}

func TestWrongHostKeyIsRefusedNotUnreachable(t *testing.T) {
	w := newWorld()
	w.hosts["app1"].dialErr = &remote.HostKeyError{Host: "app1", Address: "10.0.0.1:22", Want: "SHA256:a", Got: "SHA256:b"}
	p, err := w.Plan(t.Context(), w.want(2), PlanOptions{Hosts: hostNames(w.Fleet)})
	if err != nil || p.Exit() != ExitRefused {
		t.Fatalf("exit %d err %v", p.Exit(), err)
	}
}

func TestInterruptLetsArmedHostsResolve(t *testing.T) {
	w := newWorld()
	w.Fleet.Rollout.Parallel = 1
	ctx, cancel := context.WithCancel(t.Context())
	w.hosts["db1"].activate = func(*fakeHost) { cancel() }
	s, err := w.deployTo(t, ctx, 2, ExecuteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := all(EndNotStarted)
	want["db1"] = EndDeployed
	wantEnds(t, s, want)
	if s.Exit != ExitInterrupted {
		t.Errorf("exit %d", s.Exit)
	}
}

func TestFirstContact(t *testing.T) {
	w := newWorld()
	w.FirstAny = true
	for _, h := range w.hosts {
		h.noHelper = true
		h.activate = func(h *fakeHost) { h.noHelper = false } // NEW has the deploy user
	}
	s := w.mustDeploy(t, 2)
	wantEnds(t, s, all(EndDeployed))
	h := w.hosts["db1"]
	if !h.request.First {
		t.Error("root was not told that this is first contact")
	}
}

func TestTestRevertsInTheEnd(t *testing.T) {
	w := newWorld()
	s, err := w.deployTo(t, t.Context(), 2, ExecuteOptions{Run: RunOptions{Test: true}}, "db1")
	if err != nil {
		t.Fatal(err)
	}
	wantEnds(t, s, map[string]End{"db1": EndTested})
	if s.Exit != ExitDone || w.hosts["db1"].current != top("db1", 1) {
		t.Errorf("exit %d, runs %s", s.Exit, w.hosts["db1"].current)
	}
}

func TestRollback(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.mustDeploy(t, 3)
	back := func() (*Plan, *Summary) {
		t.Helper()
		p, err := w.PlanRollback(t.Context(), RollbackOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.Execute(t.Context(), p, ExecuteOptions{Rollback: true})
		if err != nil {
			t.Fatal(err)
		}
		return p, s
	}
	p, s := back()
	wantEnds(t, s, all(EndDeployed))
	if p.Restores != 1 || s.Number != 3 || p.Waves[0].Hosts[0] != "edge1" {
		t.Errorf("restores %d as %d, first wave %v", p.Restores, s.Number, p.Waves[0].Hosts)
	}
	if s.Title != "Release 3 (= 1) is live on 5 of 5 hosts." {
		t.Errorf("title %q", s.Title)
	}
	for n, h := range w.hosts {
		if h.current != top(n, 2) {
			t.Errorf("%s runs %s", n, h.current)
		}
	}
	// Release 2 was rolled back from, 1 is what runs: nothing is left to go to.
	if _, err := w.PlanRollback(t.Context(), RollbackOptions{}); ExitOf(err) != ExitRefused {
		t.Errorf("second rollback: %v", err)
	}
}

func TestStatus(t *testing.T) {
	w := newWorld()
	w.mustDeploy(t, 2)
	w.hosts["db2"].down = true
	w.hosts["db2"].epoch++
	s := w.Status(t.Context(), hostNames(w.Fleet))
	if s.Exit() != ExitUnreachable || s.Live == nil || s.Live.Number != 1 {
		t.Errorf("exit %d live %+v", s.Exit(), s.Live)
	}
	if s.Hosts[0].Release != 1 || s.Hosts[3].State != "unreachable" {
		t.Errorf("%+v", s.Hosts)
	}
}
