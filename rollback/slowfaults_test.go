package rollback

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// TestHostTimers lets the pieces that would end a run die, so that only the
// dead-man timers are left. Each case waits for one, so they run side by side.
func TestHostTimers(t *testing.T) {
	const enough = 25 * time.Second // for what has to come about before a timer, however busy the machine is
	// The verify process cannot end before it is killed.
	long := func(f *hostfacts.Facts) {
		f.Rollout.Confirm, f.Rollout.Settle = hostfacts.Duration(enough), hostfacts.Duration(enough-time.Second)
	}
	both := func(one, other func(*hostfacts.Facts)) func(*hostfacts.Facts) {
		return func(f *hostfacts.Facts) { one(f); other(f) }
	}
	cases := []struct {
		name   string
		flags  []string
		reason string
		during func(h *labHost, run string)
	}{
		{"nobody commits", nil, "nobody committed", nil},
		{"new system breaks sshd", nil, "nobody committed", nil},
		{"switch and switched are killed", []string{"hang"}, "did not end in time", func(h *labHost, run string) {
			h.hangs(run)
			h.in("", "systemctl", "kill", "-s", "KILL", unitName(kindActivate, run))
		}},
		{"verify is killed", nil, "verification did not end", func(h *labHost, run string) {
			h.awaitPhase(PhaseVerifying)
			// A unit that waits to be started can be killed, too, and then starts.
			h.await("verify runs", func() bool {
				pid, _ := h.in("", "systemctl", "show", "-P", "MainPID", unitName(kindVerify, run))
				return pid != "" && pid != "0"
			})
			if _, code := h.in("", "systemctl", "kill", "-s", "KILL", unitName(kindVerify, run)); code != 0 {
				h.t.Errorf("kill of verify: status %d", code)
			}
		}},
		{"switch reloads and reexecutes systemd", []string{"reloads"}, "nobody committed", func(h *labHost, run string) {
			h.verdict()
			// Timer B falls due while systemd is busy with reloads.
			time.Sleep(time.Until(time.Now().Add(seconds(h.journal().Deadline)-bootClock{}.Boot())) - 2*time.Second)
			for range 20 {
				h.in("", "systemctl", "daemon-reload")
			}
		}},
		{"helper dies before it starts the switch", nil, "did not end in time", func(h *labHost, run string) {
			// The crash between the write of activating and the start of its
			// unit: as if the unit had never been started.
			h.in("", "systemctl", "kill", "-s", "KILL", unitName(kindActivate, run))
			h.in("", "systemctl", "stop", unitName(kindVerify, run))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newLabHost(t)
			web := map[string]string{"web.service": sleeper, "ssh.service": sshd}
			old := h.build(toplevel{name: "1", units: web})
			next := toplevel{name: "2", flags: c.flags, want: []string{"web.service"}, edit: confirmWithin(enough),
				units: map[string]string{"web.service": sleeper, "ssh.service": sshd}}
			switch c.name {
			case "verify is killed":
				next.edit = long
			case "switch and switched are killed": // before the limit ends it
				next.edit = both(activateWithin(enough), confirmWithin(time.Second))
			case "helper dies before it starts the switch":
				next.edit = both(activateWithin(8*time.Second), confirmWithin(6*time.Second))
			case "new system breaks sshd":
				next.units["ssh.service"] = sleeper
			}
			newTop := h.build(next)
			h.bootFirst(old)
			begun := time.Now()
			run := h.switchTo(newTop)
			if c.during != nil {
				c.during(h, run)
			}
			j := h.awaitPhase(PhaseRolledBack, PhaseFailed, PhaseCommitted, PhaseNeedsOperator)
			t.Logf("%s after %s: %s", j.Phase, time.Since(begun).Round(100*time.Millisecond), j.Reason)
			if j.Phase != PhaseRolledBack {
				t.Errorf("ended %s: %s", j.Phase, j.Reason)
			}
			if c.name != "helper dies before it starts the switch" && !strings.Contains(j.Reason, c.reason) {
				t.Errorf("reason %q, want …%s…", j.Reason, c.reason)
			}
			h.ended(old)
			if !strings.HasPrefix(h.banner(), "SSH-") {
				t.Errorf("sshd does not answer: %q", h.banner())
			}
		})
	}
}

// sshd is Debian's own unit, as part of a toplevel.
const sshd = "ExecStart=/usr/sbin/sshd -D\nRuntimeDirectory=sshd"

func (h *labHost) banner() string {
	out, _ := h.in("", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/22 && head -1 <&3")
	return out
}

// TestHostLastResort: the revert fails, the fallback fails, the host reboots
// into the old system; or it holds for a person.
func TestHostLastResort(t *testing.T) {
	for _, hold := range []bool{false, true} {
		name := map[bool]string{false: "reboot", true: "hold"}[hold]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newLabHost(t)
			old := h.build(toplevel{name: "1", flags: []string{"fail-test"}})
			next := h.build(toplevel{name: "2", flags: []string{"fail-activate"}, hold: hold})
			h.bootFirst(old)
			h.switchTo(next)
			if !hold {
				h.awaitReboot()
				j := h.awaitPhase(PhaseRolledBack)
				t.Logf("%s: %s", j.Phase, j.Reason)
				h.ended(old)
				return
			}
			j := h.awaitPhase(PhaseNeedsOperator)
			t.Logf("%s: %s", j.Phase, j.Reason)
			h.noLitter()
			if h.boots() != old {
				t.Errorf("boots %s", h.boots())
			}
			// Another run needs a person's word.
			h.verb(LeaseRequest{Run: h.run()}, "lease", "drop", "run")
			h.runs++
			h.verb(LeaseRequest{Run: h.run()}, "lease", "take", "run")
			out, code := h.verb(RootRequest{New: old, Signatures: []string{h.sign(old)}}, "root", h.run())
			if code != exitRefused || !strings.Contains(out, CodeOperator) {
				t.Errorf("root after needs-operator: status %d: %s", code, out)
			}
		})
	}
}

// TestHostPowerCut cuts the power in each phase.
func TestHostPowerCut(t *testing.T) {
	web := map[string]string{"web.service": sleeper}
	cases := []struct {
		name  string
		next  toplevel
		cut   func(h *labHost, next string)
		end   Phase
		isNew bool
	}{
		{"rooted", toplevel{}, func(h *labHost, next string) { h.open(next) }, PhaseFailed, false},
		{"activating", toplevel{flags: []string{"hang"}}, func(h *labHost, next string) {
			h.hangs(h.switchTo(next))
		}, PhaseRolledBack, false},
		{"verifying", toplevel{}, func(h *labHost, next string) {
			h.switchTo(next)
			h.verdict()
		}, PhaseRolledBack, false},
		{"committing, loader still old", toplevel{flags: []string{"hang-boot"}}, func(h *labHost, next string) {
			run := h.switchTo(next)
			h.verdict()
			h.ok(nil, "commit", run)
			h.await("profile set", func() bool { return h.journal().Commit.Profile })
		}, PhaseRolledBack, false},
		{"committing, loader already new", toplevel{}, func(h *labHost, next string) {
			run := h.switchTo(next)
			h.verdict()
			h.write("var/hang-boot-late", "")
			h.ok(nil, "commit", run)
			h.await("loader set", func() bool { return h.boots() == next })
			h.must(os.Remove(h.path("var/hang-boot-late")))
		}, PhaseCommitted, true},
		{"rolling back", toplevel{flags: []string{"fail-activate"}}, func(h *labHost, next string) {
			h.switchTo(next)
			h.awaitPhase(PhaseRollingBack, PhaseRolledBack)
		}, PhaseRolledBack, false},
		{"undoing", toplevel{flags: []string{"fail-boot"}}, func(h *labHost, next string) {
			run := h.switchTo(next)
			h.verdict()
			h.ok(nil, "commit", run)
			h.awaitPhase(PhaseRollingBack, PhaseRolledBack)
		}, PhaseRolledBack, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newLabHost(t)
			old := h.build(toplevel{name: "1", units: web})
			c.next.name, c.next.units = "2", web
			next := h.build(c.next)
			h.bootFirst(old)
			c.cut(h, next)
			was := h.journal()
			h.power()
			h.boot()
			j := h.awaitPhase(PhaseRolledBack, PhaseFailed, PhaseCommitted, PhaseNeedsOperator)
			t.Logf("cut in %s, ended %s: %s", was.Phase, j.Phase, j.Reason)
			if j.Phase != c.end {
				t.Errorf("ended %s, want %s", j.Phase, c.end)
			}
			if c.isNew {
				h.ended(next)
			} else {
				h.ended(old)
			}
		})
	}
}
