package e2e

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPath is the main road: first contact, no-op, change, rollback.
func TestPath(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2")

	f.run("validate").want(t, 0)
	f.deploy().want(t, 0).says(t, "h1", "h2")
	first := f.systems("h1")
	f.wantSettled("h1", first.current)
	f.ssh("h1", "setpriv --reuid=nm-web --clear-groups curl -sf http://127.0.0.1:20000/healthz").want(t, 0)

	t.Run("unchanged fleet evaluates nothing", func(t *testing.T) {
		r := f.deploy().want(t, 0)
		if n := evaluated(r); n != 0 {
			t.Fatalf("%d hosts evaluated: %s", n, r)
		}
		t.Logf("no-op deploy of 2 hosts: %.2fs", r.took.Seconds())
	})
	t.Run("a comment evaluates nothing", func(t *testing.T) {
		f.set("a comment", "# a comment that moves every line below it")
		r := f.deploy().want(t, 0)
		if n := evaluated(r); n != 0 {
			t.Fatalf("%d hosts evaluated: %s", n, r)
		}
	})
	t.Run("a file of one host evaluates that host", func(t *testing.T) {
		f.file("hosts/h2.nix", "{ ... }: { system.stateVersion = \"26.05\"; environment.etc.\"motd-e2e\".text = \"hello\"; }\n")
		r := f.deploy().want(t, 0)
		if n := evaluated(r); n != 1 {
			t.Fatalf("%d hosts evaluated, want 1: %s", n, r)
		}
		f.ssh("h2", "cat /etc/motd-e2e").want(t, 0).says(t, "hello")
		f.wantSettled("h1", first.current)
	})
	t.Run("rollback", func(t *testing.T) {
		r := f.wantTaken(t, f.run("rollback", "-y"))
		t.Logf("rollback: %.2fs", r.took.Seconds())
		f.ssh("h2", "test ! -e /etc/motd-e2e").want(t, 0)
		f.run("release", "list").want(t, 0).says(t, "rollback")
		f.eventually(t, 0, []string{"status"}, "h1", "h2")
	})
	t.Run("a second folder sees the releases", func(t *testing.T) {
		if err := os.RemoveAll(f.dir + "/.nixmesh/releases"); err != nil {
			t.Fatal(err)
		}
		f.run("release", "list").want(t, 0).says(t, "rollback")
	})
	for _, h := range f.hosts {
		f.wantNoLitter(h)
	}
}

// evaluated is how many hosts the program says it evaluated, -1 where it does
// not say.
func evaluated(r result) int {
	if strings.Contains(r.stdout, "Built: nothing evaluated") {
		return 0
	}
	m := regexp.MustCompile(`(?m)^Built: (\d+) hosts? evaluated`).FindStringSubmatch(r.stdout)
	if m == nil {
		return -1
	}
	n, err := strconv.Atoi(m[1])
	if err != nil {
		return -1
	}
	return n
}

// TestAddressesSwapped: the host itself says that it is another one.
func TestAddressesSwapped(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2")
	f.deploy().want(t, 0)
	before := f.systems("h1")
	f.set("host h1", strings.Replace(f.blocks["host h1"], f.address(0), f.address(1), 1))
	f.set("host h2", strings.Replace(f.blocks["host h2"], f.address(1), f.address(0), 1))
	r := f.deploy()
	if r.code == 0 {
		t.Fatalf("a deploy to swapped addresses passed: %s", r)
	}
	r.says(t, "h1", "h2")
	f.wantSettled("h1", before.current)
}

// TestUnreachableHost: the others go on, and the exit code says 7.
func TestUnreachableHost(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2", "h3")
	f.deploy().want(t, 0)
	before := f.systems("h2")
	f.lab("break", "h2", "--cut-ssh").want(t, 0)
	f.service("web", `  env = { COLOUR = "blue" }`)
	f.deploy().want(t, 7).says(t, "h2", "unreachable")
	f.lab("heal").want(t, 0)
	f.wantSettled("h2", before.current)
	f.ssh("h1", "systemctl show -p Environment web.service").says(t, "COLOUR=blue")
	f.ssh("h3", "systemctl show -p Environment web.service").says(t, "COLOUR=blue")
	f.deploy().want(t, 0)
	f.ssh("h2", "systemctl show -p Environment web.service").says(t, "COLOUR=blue")
}

// TestWrongHostKey: a host with another key than the pinned one is refused
// before anything is sent to it.
func TestWrongHostKey(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.deploy().want(t, 0)
	f.ssh("h1", "rm /etc/ssh/ssh_host_ed25519_key* && ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key && systemctl restart sshd").want(t, 0)
	f.service("web", `  env = { COLOUR = "blue" }`)
	r := f.deploy()
	if r.code == 0 {
		t.Fatalf("deployed to a host with another key: %s", r)
	}
	r.says(t, "host key", "host trust")
}

// until a deploy has brought the host into a phase; the journal is read from
// outside, so that a host without network can be watched, too.
func (f *fleet) untilPhase(t *testing.T, root string, phases ...string) {
	t.Helper()
	until(t, "phase "+strings.Join(phases, " or "), func() bool {
		now := f.journal(root).Phase
		for _, p := range phases {
			if p == now {
				return true
			}
		}
		return false
	})
}

// TestOtherSSHPort: a host whose sshd listens elsewhere is reached there from the
// first contact on, and from there only.
func TestOtherSSHPort(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.lab("down").want(t, 0)
	f.set("host h1", fmt.Sprintf(`host "h1" {
  address = %q
  imports = ["./hosts/h1.nix"]
  nixos   = { "services.openssh.ports" = [2222] }

  ssh {
    port = 2222
    jump = "nobody@192.0.2.1:22"
  }
}`, f.address(0)))
	f.lab("up").want(t, 0)
	f.deploy().want(t, 0).says(t, "lab overrides")
	f.ssh("h1", "sshd -T -f /etc/ssh/sshd_config | grep -c ^port").want(t, 0).says(t, "1")
	f.service("web", `  env = { COLOUR = "blue" }`)
	f.deploy().want(t, 0)
	f.eventually(t, 0, []string{"status"})
}
