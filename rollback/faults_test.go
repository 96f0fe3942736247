package rollback

import (
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// switchTo opens a run for next and starts the switch.
func (h *labHost) switchTo(next string, edit ...func(*RootRequest)) string {
	h.t.Helper()
	run := h.open(next, edit...)
	h.ok(nil, "activate", run)
	return run
}

// verdict waits for the host's own verdict.
func (h *labHost) verdict() *Journal {
	h.t.Helper()
	h.await("verdict", func() bool {
		j := h.journal()
		return j.Phase.Terminal() || j.Verdict != nil
	})
	return h.journal()
}

// commitNow commits the verified run and waits for its end.
func (h *labHost) commitNow(run string) *Journal {
	h.t.Helper()
	if j := h.verdict(); j.Phase != PhaseVerifying || !j.Verdict.Good {
		h.t.Fatalf("not verified: %s: %s", j.Phase, j.Reason)
	}
	h.ok(nil, "commit", run)
	return h.awaitPhase(PhaseCommitted, PhaseRolledBack, PhaseFailed, PhaseNeedsOperator)
}

// activateWithin ends a switch that hangs after a time that a test can wait.
func activateWithin(d time.Duration) func(*hostfacts.Facts) {
	return func(f *hostfacts.Facts) { f.Rollout.ActivateTimeout = hostfacts.Duration(d) }
}

// TestHostFaults breaks the switch in every way that ends within seconds. One
// host suffers them all, one after the other: each has to leave it as it was.
func TestHostFaults(t *testing.T) {
	h := newLabHost(t)
	units := map[string]string{
		"web.service":    sleeper,
		"broken.service": "ExecStart=/bin/false",
	}
	with := func(name, text string) map[string]string {
		m := map[string]string{name: text}
		for k, v := range units {
			if _, ok := m[k]; !ok {
				m[k] = v
			}
		}
		return m
	}
	old := h.build(toplevel{name: "1", units: units})
	h.bootFirst(old)
	const look = 20 * time.Second // for a look that tells, however busy the machine is
	cases := []struct {
		name   string
		next   toplevel
		end    Phase
		reason string
		during func(run string)
	}{
		{name: "activation script fails", next: toplevel{units: units, flags: []string{"fail-activate"}},
			end: PhaseRolledBack, reason: "activation script failed"},
		{name: "new unit fails", next: toplevel{units: with("new.service", "Type=oneshot\nExecStart=/bin/false")},
			end: PhaseRolledBack, reason: "new.service"},
		{name: "unit of host.json crash-loops", next: toplevel{want: []string{"web.service"}, edit: confirmWithin(look),
			units: with("web.service", "ExecStart=/bin/sleep 0.2\nRestart=always\nRestartSec=0.1\n[Unit]\nStartLimitIntervalSec=0")},
			end: PhaseRolledBack, reason: "web.service"},
		{name: "other unit crash-loops", next: toplevel{edit: confirmWithin(look),
			units: with("side.service", "ExecStart=/bin/sleep 0.2\nRestart=always\nRestartSec=0.1\n[Unit]\nStartLimitIntervalSec=0")},
			end: PhaseRolledBack, reason: "side.service"},
		{name: "unit that failed before fails anew", next: toplevel{units: with("broken.service", "ExecStart=/bin/false again")},
			end: PhaseRolledBack, reason: "broken.service"},
		{name: "unit cannot be loaded", next: toplevel{units: with("odd.service", "ExecStart=/bin/sleep 1\nExecStart=/bin/sleep 2")},
			end: PhaseRolledBack, reason: "odd.service"},
		{name: "check fails", next: toplevel{want: []string{"web.service"}, check: "/nowhere", edit: confirmWithin(look),
			units: with("web.service", "ExecStart=/bin/sh -c 'echo warming up; exec sleep infinity'")},
			end: PhaseRolledBack, reason: "GET /healthz 503"},
		// It fails before everything has held for long enough.
		{name: "wanted unit is failed", next: toplevel{want: []string{"late.service"},
			edit:  func(f *hostfacts.Facts) { f.Rollout.Settle = hostfacts.Duration(30 * time.Second) },
			units: with("late.service", "ExecStart=/bin/sh -c 'sleep 1; echo out of luck; exit 3'")},
			end: PhaseRolledBack, reason: "late.service is failed"},
		{name: "switch panics", next: toplevel{units: units, flags: []string{"panic"}}, end: PhaseRolledBack, reason: "signal ABRT"},
		{name: "switch hangs", next: toplevel{units: units, flags: []string{"hang"}, edit: activateWithin(8 * time.Second)}, end: PhaseRolledBack, reason: "did not end within 8s"},
		{name: "switch is killed", next: toplevel{units: units, flags: []string{"hang"}}, end: PhaseRolledBack, reason: "signal KILL",
			during: func(run string) {
				h.hangs(run)
				h.in("", "systemctl", "kill", "--kill-whom=main", "-s", "KILL", unitName(kindActivate, run))
			}},
		{name: "init interface differs", next: toplevel{units: units, flags: []string{"exit-100"}}, end: PhaseFailed, reason: "reboot"},
		{name: "new system isolates another target", next: toplevel{flags: []string{"isolate"}, edit: confirmWithin(6 * time.Second),
			units: with("lonely.target", "[Unit]\nAllowIsolate=yes")}, end: PhaseRolledBack, reason: ""},
		{name: "deployer asks for the old system", next: toplevel{units: units}, end: PhaseRolledBack, reason: "no fresh connection",
			during: func(run string) {
				h.awaitPhase(PhaseVerifying)
				h.ok(RevertRequest{Reason: "no fresh connection"}, "revert", run)
			}},
		{name: "test is reverted on request", next: toplevel{units: with("web.service", sleeper+"\n#2"), want: []string{"web.service"}},
			end: PhaseRolledBack, reason: "enter was pressed",
			during: func(run string) {
				if j := h.verdict(); !j.Verdict.Good {
					t.Errorf("verdict: %+v", j.Verdict)
				}
				h.ok(RevertRequest{Reason: "enter was pressed"}, "revert", run)
			}},
		{name: "boot loader fails twice", next: toplevel{units: units, flags: []string{"fail-boot"}}, end: PhaseRolledBack, reason: "twice",
			during: func(run string) { h.verdict(); h.ok(nil, "commit", run) }},
	}
	for i, c := range cases {
		ok := t.Run(c.name, func(t *testing.T) {
			h.t = t
			defer func() {
				if t.Failed() {
					log, _ := h.in("", "cat", logFile(h.run()))
					t.Logf("log of the run:\n%s", log)
				}
			}()
			c.next.name = string(rune('a'+i)) + "0"
			next := h.build(c.next)
			begun := time.Now()
			run := h.switchTo(next)
			if c.during != nil {
				c.during(run)
			}
			j := h.awaitPhase(PhaseRolledBack, PhaseFailed, PhaseCommitted, PhaseNeedsOperator)
			if j.Phase != c.end || !strings.Contains(j.Reason, c.reason) {
				t.Errorf("ended %s: %s; want %s: …%s…", j.Phase, j.Reason, c.end, c.reason)
			}
			t.Logf("%s after %s: %s %v", j.Phase, time.Since(begun).Round(10*time.Millisecond), j.Reason, j.LeftFailed)
			if j.Verdict != nil && len(j.Verdict.Log) > 0 {
				t.Logf("unit's log: %q", j.Verdict.Log)
			}
			h.ended(old)
		})
		h.t = t
		if !ok {
			return // the next ones would start from an unknown state
		}
	}
}

// TestHostBaseline: a unit that failed before and still fails does not stop a
// deploy.
func TestHostBaseline(t *testing.T) {
	h := newLabHost(t)
	broken := map[string]string{"broken.service": "ExecStart=/bin/false"}
	old := h.build(toplevel{name: "1", units: broken})
	next := h.build(toplevel{name: "2", units: map[string]string{"broken.service": broken["broken.service"], "web.service": sleeper}, want: []string{"web.service"}})
	h.bootFirst(old)
	h.await("broken.service failed", func() bool {
		out, _ := h.in("", "systemctl", "is-failed", "broken.service")
		return out == "failed"
	})
	if j := h.commitNow(h.switchTo(next)); j.Phase != PhaseCommitted {
		t.Fatalf("%s: %s", j.Phase, j.Reason)
	}
	h.ended(next)
}
