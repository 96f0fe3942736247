package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const brief = "10s" // rollout.confirm that is to run out

// Faults of the new system itself: the host finds them and goes back.
func TestBadGenerations(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	old := f.systems("h1").current

	for _, c := range []struct {
		name, nixos, says string
	}{
		{"activation script fails", `{ "system.activationScripts.broken" = { text = "false" } }`, "activat"},
		{"new unit fails", `{ "systemd.services.broken" = { wantedBy = ["multi-user.target"], script = "echo nothing works here; exit 3", serviceConfig = { Type = "oneshot" } } }`, "nothing works here"},
		{"unit that cannot be loaded", `{ "systemd.services.broken" = { wantedBy = ["multi-user.target"], serviceConfig = { ExecStart = ["/bin/sh -c true", "/bin/sh -c false"] } } }`, "broken.service"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.nixos("h1", c.nixos)
			f.deploy().want(t, 4).says(t, c.says, "rolled back")
			f.wantSettled("h1", old)
			f.wantNoLitter("h1")
		})
	}
	f.nixos("h1", "{}")
	for _, c := range []struct {
		name, env, says, confirm, settle string
	}{
		// The last answer is told, or none where the machine has no time for it; its log is.
		{"check fails", `  env = { FAIL_HEALTH = "1" }`, `503|unhealthy: FAIL_HEALTH=1`, "20s", calm},
		{"crash loop that is never failed", `  env = { CRASH_AFTER = "700ms" }`, "web", brief, "5s"}, // a pause is no end of it
	} {
		t.Run(c.name, func(t *testing.T) {
			f.settle = c.settle
			f.service("web", c.env)
			r := f.deploy("--confirm", c.confirm).want(t, 4).says(t, "rolled back")
			if !regexp.MustCompile(c.says).MatchString(r.stdout + r.stderr) {
				t.Errorf("want %q in the output of %s", c.says, r)
			}
			f.wantSettled("h1", old)
			f.wantNoLitter("h1")
			f.ssh("h1", "setpriv --reuid=nm-web --clear-groups curl -sf http://127.0.0.1:20000/healthz").want(t, 0)
		})
	}
	f.settle = calm
	t.Run("and the next good one passes", func(t *testing.T) {
		f.service("web", `  env = { COLOUR = "blue" }`)
		f.deploy().want(t, 0)
		f.ssh("h1", "systemctl show -p Environment web.service").says(t, "COLOUR=blue")
	})
}

// TestFailedBefore: a unit that failed before the switch and still fails is
// not the new system's fault; the same unit failing anew is.
func TestFailedBefore(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	flaky := func(version string) string {
		return `{ "systemd.services.flaky" = { wantedBy = ["multi-user.target"], environment = { VERSION = "` + version + `" }, script = "test ! -e /var/flaky-fails", serviceConfig = { Type = "oneshot", RemainAfterExit = true } } }`
	}
	f.nixos("h1", flaky("1"))
	f.deploy().want(t, 0)
	f.ssh("h1", "touch /var/flaky-fails; systemctl restart flaky.service; systemctl is-failed flaky.service").says(t, "failed")

	f.service("web", `  env = { COLOUR = "blue" }`)
	f.deploy().want(t, 0)
	passed := f.systems("h1").current

	f.nixos("h1", flaky("2"))
	f.deploy().want(t, 4).says(t, "flaky.service")
	f.wantSettled("h1", passed)
}

// TestHungSwitch: activation never ends; activate_timeout ends it.
func TestHungSwitch(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	old := f.systems("h1").current
	f.lab("break", "h1", "--hang-switch").want(t, 0)
	f.activate = "20s"
	f.service("web", `  env = { COLOUR = "blue" }`)
	f.deploy().want(t, 4).says(t, "rolled back")
	f.lab("heal").want(t, 0)
	f.wantSettled("h1", old)
	f.wantNoLitter("h1")
}

// TestHungRevert: the way back hangs, too. The fallback unit reboots the host,
// and the host boots the old system because nothing was committed. The test
// shortens the two limits of 180 s in the run's own units.
func TestHungRevert(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	slow := `{ "systemd.services.slow" = { wantedBy = ["multi-user.target"], script = "while test -e /run/hang; do sleep 0.2; done", serviceConfig = { Type = "oneshot", RemainAfterExit = true, TimeoutStartSec = "infinity" } } }`
	f.nixos("h1", slow)
	f.deploy().want(t, 0)
	old := f.systems("h1").current
	root := f.host("h1").Root
	f.ssh("h1", "touch /run/hang").want(t, 0)
	boot := f.ssh("h1", "cat /proc/sys/kernel/random/boot_id").stdout

	f.nixos("h1", "{}") // slow.service is stopped; going back starts it again
	f.service("web", `  env = { FAIL_HEALTH = "1" }`)
	p := f.startDeploy("deploy", "-y", "--confirm", brief)
	f.untilPhase(t, root, "armed", "activating", "verifying")
	f.ssh("h1", "sed -i 's/^TimeoutStartSec=180.*/TimeoutStartSec=5/' /run/systemd/system/nixmesh-revert-*.service /run/systemd/system/nixmesh-fallback-*.service && systemctl daemon-reload").want(t, 0)
	p.wait().want(t, 4).says(t, "rolled back")
	until(t, "the host is up again", func() bool {
		r := f.ssh("h1", "cat /proc/sys/kernel/random/boot_id")
		return r.code == 0 && r.stdout != boot
	})
	f.wantSettled("h1", old)
}

// TestBrokenSSHD: the new system is healthy and cannot be reached. Nobody
// commits, so the timer takes it back.
func TestBrokenSSHD(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	old := f.systems("h1").current
	f.nixos("h1", `{ "services.openssh.ports" = [2222] }`)
	f.deploy("--confirm", brief).want(t, 4).says(t, "rolled back")
	f.wantSettled("h1", old)
	f.wantNoLitter("h1")
}

// TestNetworkCut: losing the network during activation is a non-event if it
// comes back within the window, and a revert if it does not.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	h := f.host("h1")

	t.Run("shorter than the window", func(t *testing.T) {
		f.settle = "5s"
		f.service("web", `  env = { COLOUR = "blue" }`)
		p := f.startDeploy("deploy", "-y")
		f.untilPhase(t, h.Root, "activating", "verifying")
		f.lab("break", "h1", "--cut-ssh").want(t, 0)
		time.Sleep(4 * time.Second)
		f.lab("heal").want(t, 0)
		p.wait().want(t, 0)
	})
	t.Run("longer than the window", func(t *testing.T) {
		old := f.systems("h1").current
		f.hold(`  env = { COLOUR = "green" }`)
		p := f.startDeploy("deploy", "-y", "--confirm", "20s") // the commit has 30 s more
		f.untilPhase(t, h.Root, "activating", "verifying")
		f.lab("break", "h1", "--cut-ssh").want(t, 0)
		h.release(t)
		f.untilPhase(t, h.Root, "rolled-back")
		f.lab("heal").want(t, 0)
		p.wait().want(t, 4)
		f.wantSettled("h1", old)
		f.wantNoLitter("h1")
	})
}

// TestPowerCut pulls the plug in every phase. The host must come back in the
// old system or in the new one, whole, and take the next deploy.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		phase  string
		broken bool // the new system fails its check
		ends   []string
	}{
		{"rooted", false, []string{"old"}},
		{"armed", false, []string{"old"}},
		{"activating", false, []string{"old"}},
		{"verifying", false, []string{"old"}},
		{"committing", false, []string{"old", "new"}},
		{"rolling-back", true, []string{"old"}},
	} {
		t.Run(c.phase, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "h1")
			f.deploy().want(t, 0)
			h := f.host("h1")
			switch {
			case c.broken:
				f.confirm = brief
				f.service("web", `  env = { FAIL_HEALTH = "1" }`)
			case c.phase == "committing":
				f.service("web", `  env = { COLOUR = "blue" }`)
			default:
				f.hold(`  env = { COLOUR = "blue" }`)
			}
			p := f.deployUntil(t, h, c.phase)
			old := f.journal(h.Root).Old
			if err := syscall.Kill(h.PID, syscall.SIGKILL); err != nil {
				t.Fatalf("cut the power of %s: %v", h.Name, err)
			}
			until(t, "the lab sees the host dead", func() bool { return f.host("h1").State == "failed" })
			f.lab("heal").want(t, 0) // power is back
			r := p.wait()
			if r.code == 0 && len(c.ends) == 1 {
				t.Fatalf("the deploy says that all went well: %s", r)
			}
			until(t, "the host is over it", func() bool {
				j := f.journal(f.host("h1").Root)
				return j.Phase == "committed" || j.Phase == "rolled-back" || j.Phase == "failed"
			})
			j := f.journal(f.host("h1").Root)
			t.Logf("cut in %s: journal ends %s, deploy exits %d", c.phase, j.Phase, r.code)
			until(t, "the host answers", func() bool { return f.ssh("h1", "true").code == 0 })
			want := old
			if j.Phase == "committed" {
				want = j.New
			}
			f.wantSettled("h1", want)
			f.wantNoLitter("h1")
			f.confirm = ample
			f.service("web", `  env = { COLOUR = "white" }`)
			f.deploy().want(t, 0)
		})
	}
}

// released is a file of a host, see hold.
const released = "/var/released"

// hold describes a web that a host finds well when it is released there, so that a
// fault can be placed before. Only rollout.confirm bounds how long that takes.
func (f *fleet) hold(more string) {
	f.t.Helper()
	f.service("web", more+"\n  check { exec = \"/bin/sh -c 'test -e "+released+"'\" }")
}

func (h labHost) release(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.Root, released), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// deployUntil starts deploys until one of them is caught in the phase, and
// returns it while it is there. `armed` lasts a millisecond: a deploy that was
// past it when it was looked at ends by itself, and the next one begins.
func (f *fleet) deployUntil(t *testing.T, h labHost, phase string) *process {
	t.Helper()
	for attempt := range 20 {
		f.service("filler", fmt.Sprintf("  env = { ATTEMPT = \"%d\" }", attempt))
		_ = os.Remove(filepath.Join(h.Root, released)) // of the attempt before, if at all
		before := f.journal(h.Root).Run
		p := f.startDeploy("deploy", "-y")
		deadline := time.Now().Add(5 * time.Minute)
		for {
			j := f.journal(h.Root)
			if j.Run != before && j.Phase == phase {
				return p
			}
			if j.Run != before && past(j.Phase, phase) {
				h.release(t)
				p.wait()
				break
			}
			if time.Now().After(deadline) {
				_ = p.cmd.Process.Kill()
				t.Fatalf("the host never came to %s, it is %s: %s", phase, j.Phase, p.wait())
			}
			time.Sleep(200 * time.Microsecond)
		}
		t.Logf("attempt %d was past %s when it was looked at", attempt, phase)
	}
	t.Fatalf("%s was never caught", phase)
	return nil
}

// past says whether a run that is in phase now has left the other one behind.
func past(now, phase string) bool {
	order := []string{"rooted", "armed", "activating", "verifying", "committing", "rolling-back", "committed", "rolled-back", "failed", "needs-operator"}
	return slices.Index(order, now) > slices.Index(order, phase)
}

// TestDeployerKilled kills the deployer with -9 in every phase. The host
// resolves by itself, and a new deploy takes over.
func TestDeployerKilled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ phase string }{{"rooted"}, {"armed"}, {"activating"}, {"verifying"}, {"committing"}} {
		t.Run(c.phase, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, "h1")
			f.deploy().want(t, 0)
			h := f.host("h1")
			f.confirm, f.activate = "20s", "60s" // the host waits for them, and a commit has to come in time
			f.service("web", `  env = { COLOUR = "blue" }`)
			p := f.deployUntil(t, h, c.phase)
			old := f.journal(h.Root).Old
			if err := p.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			p.wait()
			until(t, "the host resolves by itself", func() bool {
				switch f.journal(h.Root).Phase {
				case "committed", "rolled-back", "failed":
					return true
				case "rooted": // and nothing of what the deployer asked for is under way
					return f.ssh("h1", "pgrep -f '^sshd.*[d]eploy|host [a]ctivate'").code == 1 && f.journal(h.Root).Phase == "rooted"
				}
				return false
			})
			j := f.journal(h.Root)
			t.Logf("killed in %s: journal ends %s", c.phase, j.Phase)
			want := old
			if j.Phase == "committed" {
				want = j.New
			}
			f.wantSettled("h1", want)
			// The dead deployer's lease goes stale after a minute.
			f.deploy("--wait-lock", "90s", "--confirm", ample).want(t, 0)
			f.ssh("h1", "systemctl show -p Environment web.service").says(t, "COLOUR=blue")
		})
	}
}

// TestHungPID1: a stopped PID 1 runs no timers. On real machines the hardware
// watchdog ends that; here the test is the watchdog.
func TestHungPID1(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	old := f.systems("h1").current
	h := f.host("h1")
	f.hold(`  env = { COLOUR = "blue" }`)
	p := f.startDeploy("deploy", "-y")
	f.untilPhase(t, h.Root, "activating", "verifying")
	if err := syscall.Kill(h.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // the watchdog's interval
	f.lab("break", "h1", "--power").want(t, 0)
	p.wait().want(t, 4)
	f.wantSettled("h1", old)
}

// TestFirstContact needs a host without nixmesh; the lab's hosts start so.
func TestFirstContact(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.ssh("h1", "id deploy").want(t, 1)
	f.ssh("h1", "test ! -e /etc/nixmesh/host.json && test ! -e /run/current-system/sw/bin/nixmesh-host").want(t, 0)
	seed := f.systems("h1").current
	t.Run("a bad first generation goes back to the plain system", func(t *testing.T) {
		f.service("web", `  env = { FAIL_HEALTH = "1" }`)
		f.run("deploy", "-y", "--first", "h1", "--as", "root", "--confirm", brief).want(t, 4)
		f.wantSettled("h1", seed)
		f.ssh("h1", "test ! -e /etc/nixmesh/host.json").want(t, 0)
	})
	t.Run("a good one stays", func(t *testing.T) {
		f.service("web", "")
		f.deploy("--first", "h1", "--as", "root").want(t, 0).says(t, "deploy")
		f.ssh("h1", "id deploy && sudo -u deploy sudo -n /run/current-system/sw/bin/nixmesh-host status </dev/null").want(t, 0)
		f.ssh("h1", "sudo -u deploy sudo -n /bin/sh -c true").want(t, 1)
	})
	t.Run("twice is refused", func(t *testing.T) {
		f.run("deploy", "-y", "--first", "h1", "--as", "root").want(t, 6)
	})
}

// TestTwoDeployers: the second one is refused with the first one's name.
func TestTwoDeployers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	f.lab("break", "h1", "--hang-switch").want(t, 0)
	f.service("web", `  env = { COLOUR = "blue" }`)
	p := f.startDeploy("deploy", "-y")
	root := f.host("h1").Root
	f.untilPhase(t, root, "activating")
	r := f.deploy().want(t, 6)
	if !strings.Contains(r.stdout+r.stderr, "lab@") {
		t.Errorf("the refusal must name the holder: %s", r)
	}
	f.lab("heal").want(t, 0) // the first one's switch goes on
	p.wait().want(t, 0)
}

// TestLabDownLeavesNothing looks for what a machine has of this lab: others may
// come and go meanwhile.
func TestLabDownLeavesNothing(t *testing.T) {
	needLab(t)
	var f *fleet
	look := func() string {
		c := exec.Command("sh", "-c", `ip -o -4 address | grep -F " $NET."; grep -F "$DIR" /proc/self/mounts; losetup -a | grep -F "$DIR"; pgrep -af "$DIR"; true`)
		c.Env = append(os.Environ(), "DIR="+f.dir, "NET="+strings.TrimSuffix(f.address(0), ".11"))
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	t.Run("up and down", func(t *testing.T) {
		f = newFleet(t, "h1", "h2")
		up := look()
		if !strings.Contains(up, "nmlab") || !strings.Contains(up, "/dev/loop") {
			t.Errorf("nothing of the lab is seen: %q", up)
		}
		t.Logf("of the lab there is\n%s", up)
	})
	if after := look(); after != "" {
		t.Errorf("the lab left something behind:\n%s", after)
	}
}
