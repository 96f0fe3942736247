package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// later starts a script inside a host, which goes on when the call is over. Its
// turn comes before that of all others, where the machine has that: what it waits
// for may be short.
func (f *fleet) later(host, script string) {
	f.t.Helper()
	f.ssh(host, "setsid sh -c 'chrt --fifo --pid 1 $$; "+script+"' </dev/null >/run/later.log 2>&1 &").want(f.t, 0)
}

// kill9 kills the process of one of the run's units, so often. It looks for the
// process where the unit is, and the pattern does not match its own command line.
// What was killed is there until its threads have had their turn to end: a process
// counts once.
func (f *fleet) kill9(host, verb string, times int) {
	f.t.Helper()
	unit := "/sys/fs/cgroup/system.slice/nixmesh-" + strings.TrimSuffix(verb, "-run") + "-r*.service"
	pattern := "host [" + verb[:1] + "]" + verb[1:] + " r"
	f.later(host, fmt.Sprintf(`n=0; last=none; until [ $n = %d ]; do set -- %s; if [ -e "$1" ] && p=$(pgrep -o -P 1 -f "%s") && [ $p != $last ] && kill -KILL $p; then echo killed $p; last=$p; n=$((n+1)); fi; sleep 0.005; done`,
		times, unit, pattern))
}

// wasKilled fails where kill9 never met its victim.
func (f *fleet) wasKilled(host string, times int) {
	f.t.Helper()
	r := f.ssh(host, "cat /run/later.log")
	if n := strings.Count(r.stdout, "killed"); n < times {
		f.t.Errorf("killed %d times, want %d: %s", n, times, r)
	}
}

// TestUnitsKilled kills the processes of the run's units with -9.
func TestUnitsKilled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, verb string
		times      int
		code       int
		end        string
		bad        bool // the new system fails
		brief      bool // the end comes with the end of rollout.confirm
		fillBoot   bool // the commit fails
	}{
		{name: "verify", verb: "verify", times: 1, code: 4, end: "rolled-back", brief: true},
		{name: "commit once", verb: "commit-run", times: 1, code: 0, end: "committed"},
		{name: "commit twice", verb: "commit-run", times: 2, code: 4, end: "rolled-back"},
		{name: "undo", verb: "undo", times: 1, code: 4, end: "rolled-back", fillBoot: true},
		{name: "revert", verb: "revert-run", times: 1, code: 4, end: "rolled-back", bad: true, brief: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "h1")
			f.deploy().want(t, 0)
			h := f.host("h1")
			f.kill9("h1", c.verb, c.times)
			switch {
			case c.bad:
				f.service("web", `  env = { FAIL_HEALTH = "1" }`)
			case c.fillBoot:
				f.hold(`  env = { COLOUR = "blue" }`)
			default:
				f.service("web", `  env = { COLOUR = "blue" }`)
			}
			confirm := ample
			if c.brief {
				confirm = brief
			}
			p := f.startDeploy("deploy", "-y", "--confirm", confirm)
			if c.fillBoot {
				f.untilPhase(t, h.Root, "verifying")
				f.lab("break", "h1", "--fill-boot").want(t, 0)
				h.release(t)
			}
			p.wait().want(t, c.code)
			f.wasKilled("h1", c.times)
			j := f.journal(h.Root)
			if j.Phase != c.end {
				t.Errorf("the run ended %s, want %s", j.Phase, c.end)
			}
			want := j.Old
			if c.end == "committed" {
				want = j.New
			}
			f.wantSettled("h1", want)
			f.wantNoLitter("h1")
			f.lab("heal").want(t, 0)
		})
	}
}

// TestDiskFull fills the disk in the middle of a switch: the host comes to the
// old system or the new one, whole, and takes the next deploy when there is
// room again.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{"rooted", "activating", "verifying", "committing"} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "h1")
			f.deploy().want(t, 0)
			h := f.host("h1")
			f.confirm = "30s" // what has no room may wait for its end
			if phase == "verifying" {
				f.settle = "5s"
			}
			p := f.deployUntil(t, h, phase)
			was := f.journal(h.Root)
			f.lab("break", "h1", "--fill-store").want(t, 0)
			r := p.wait()
			t.Logf("full in %s: exit %d: %s", phase, r.code, r)
			if r.code != 0 && r.code != 1 && r.code != 4 {
				t.Errorf("exit %d with a full disk: %s", r.code, r)
			}
			s := f.systems("h1")
			if s.current != s.profile || s.current != s.boot || (s.current != was.Old && s.current != was.New) {
				t.Errorf("neither the old system %s nor the new one %s, whole: %+v", was.Old, was.New, s)
			}
			f.lab("heal").want(t, 0)
			f.confirm, f.settle = ample, calm
			f.service("web", `  env = { COLOUR = "white" }`)
			f.deploy("--wait-lock", "90s").want(t, 0)
			f.wantNoLitter("h1")
		})
	}
}

// TestBootFull fills /boot after the guard has seen room there: the commit
// fails twice and is undone.
func TestBootFull(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	old := f.systems("h1").current
	f.hold("")
	p := f.startDeploy("deploy", "-y")
	h := f.host("h1")
	f.untilPhase(t, h.Root, "verifying")
	f.lab("break", "h1", "--fill-boot").want(t, 0)
	h.release(t)
	p.wait().want(t, 4).says(t, "twice")
	f.wantSettled("h1", old)
	f.wantNoLitter("h1")
	f.lab("heal").want(t, 0)
	f.service("web", `  env = { COLOUR = "blue" }`)
	f.deploy().want(t, 0)
}

// TestSwitchLockHeld: somebody else's switch-to-configuration runs when ours
// is started.
func TestSwitchLockHeld(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	old := f.systems("h1").current
	f.later("h1", `until grep -q "^ \"phase\": \"\(rooted\|armed\)\"" /var/lib/nixmesh/journal.json; do sleep 0.005; done; exec flock /run/nixos/switch-to-configuration.lock sleep 600`)
	f.service("web", `  env = { COLOUR = "blue" }`)
	f.deploy().want(t, 1).says(t, "another switch holds", "flock")
	if j := f.journal(f.host("h1").Root); j.Phase != "failed" {
		t.Errorf("the run ended %s, want failed", j.Phase)
	}
	f.wantSettled("h1", old)
	f.wantNoLitter("h1")
	f.ssh("h1", "pkill -x flock; pkill -x sleep; true").want(t, 0)
	f.deploy().want(t, 0)
}

// TestProfileMoved: somebody sets the system profile between verification and
// commit. Theirs stays; the host runs what it ran.
func TestProfileMoved(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	theirs := f.systems("h1").current
	f.service("web", `  env = { COLOUR = "blue" }`)
	f.deploy().want(t, 0)
	old := f.systems("h1")
	f.hold(`  env = { COLOUR = "green" }`)
	p := f.startDeploy("deploy", "-y")
	h := f.host("h1")
	f.untilPhase(t, h.Root, "verifying")
	f.ssh("h1", "nix-env -p /nix/var/nix/profiles/system --set "+theirs).want(t, 0)
	h.release(t)
	p.wait().want(t, 4).says(t, "moved by somebody else")
	now := f.systems("h1")
	if now.current != old.current || now.profile != theirs || now.boot != old.boot {
		t.Errorf("before %+v, their profile %s, now %+v", old, theirs, now)
	}
	f.wantNoLitter("h1")
}
