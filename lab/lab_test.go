package lab

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// subnets gives each lab of this test binary a network of its own.
var subnets atomic.Int32

// testLab is a lab that goes away with its test.
type testLab struct {
	*Lab
	t testing.TB
}

func newTestLab(t testing.TB, hosts ...string) *testLab {
	t.Helper()
	needLab(t)
	o := Options{StateDir: filepath.Join(t.TempDir(), "lab"), Nixpkgs: os.Getenv("NIXMESH_NIXPKGS"), Log: func(line string) { t.Log(line) }}
	subnet := subnets.Add(1)
	for i, name := range hosts {
		o.Hosts = append(o.Hosts, Host{Name: name, Address: netip.AddrFrom4([4]byte{10, 95, byte(100 + subnet), byte(11 + i)})})
	}
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if said, err := os.ReadFile(l.path("supervisor.log")); err == nil && bytes.Contains(said, []byte("DATA RACE")) {
			t.Errorf("the supervisor has a race:\n%s", said)
		}
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &testLab{l, t}
}

func (l *testLab) up() {
	l.t.Helper()
	if err := l.Up(l.t.Context(), nil); err != nil {
		said, _ := os.ReadFile(l.path("supervisor.log"))
		l.t.Fatalf("%v\n%s", err, said)
	}
}

func (l *testLab) status(name string) HostStatus {
	l.t.Helper()
	all, err := l.Status(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, h := range all {
		if h.Name == name {
			return h
		}
	}
	l.t.Fatalf("no host %s in %+v", name, all)
	return HostStatus{}
}

// run runs a command on a host and returns what it printed.
func (l *testLab) run(host, command string) (string, error) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	out, err := l.SSH(ctx, l.status(host), []string{command}).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (l *testLab) mustRun(host, command string) string {
	l.t.Helper()
	out, err := l.run(host, command)
	if err != nil {
		l.t.Fatalf("%s on %s: %v\n%s", command, host, err, out)
	}
	return out
}

// reaches says whether one host can open another one's port 22 soon.
func (l *testLab) reaches(from, to string) bool {
	l.t.Helper()
	_, err := l.run(from, fmt.Sprintf("timeout 2 bash -c '</dev/tcp/%s/22'", l.status(to).Address))
	return err == nil
}

// wantReach waits until one host can open another one's port 22.
func (l *testLab) wantReach(from, to string) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !l.reaches(from, to); {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s does not reach %s", from, to)
		}
	}
}

const bootIDFile = "/proc/sys/kernel/random/boot_id"

// waitBoot waits until a host answers with another boot id.
func (l *testLab) waitBoot(host, old string) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		id, err := l.run(host, "cat "+bootIDFile)
		if err == nil && id != old {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s does not come back: %s %v\n%s", host, id, err, lastLines(l.status(host).Console, 10))
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestHostsAreOfTheirOwn(t *testing.T) {
	l := newTestLab(t, "a", "b")
	l.up()
	machine, err := os.ReadFile(bootIDFile)
	if err != nil {
		t.Fatal(err)
	}
	a, b := l.mustRun("a", "cat "+bootIDFile), l.mustRun("b", "cat "+bootIDFile)
	if a == b || a == strings.TrimSpace(string(machine)) {
		t.Errorf("boot ids: a %s, b %s, machine %s", a, b, machine)
	}
	for command, want := range map[string]string{
		"hostname":                           "a",
		"systemctl is-system-running --wait": "running",
		"tr '\\0' '\\n' < /proc/1/environ | grep ^container=": "container=" + containerName,
		"findmnt -n -o PROPAGATION /":                         "shared",
		"stat -f -c %T /boot":                                 "ext2/ext3",
		"touch /sys/x /proc/sys/vm/x 2>/dev/null; sysctl -w vm.swappiness=1 >/dev/null 2>&1 && echo writable || echo read-only": "read-only",
		"cut -d: -f3 /proc/1/cgroup | tail -n1": "/init.scope",
		"ps -o comm= -p 1":                      "systemd",
	} {
		if got := l.mustRun("a", command); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	l.wantReach("a", "b")
	l.wantReach("b", "a")
	if key := l.mustRun("a", "cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub"); true {
		keys, err := l.HostKeys()
		if err != nil || keys["a"] != key || keys["a"] == keys["b"] {
			t.Errorf("host keys %v (%v), a has %s", keys, err, key)
		}
	}
	if disk := l.status("a").Disk; disk > 100e6 {
		t.Errorf("a host takes %d MB, want at most 100", disk/1e6)
	}
}

func TestRebootAndPowerCut(t *testing.T) {
	l := newTestLab(t, "a")
	l.up()
	ctx := t.Context()
	first := l.mustRun("a", "touch /var/lib/kept /boot/kept; cat "+bootIDFile)

	_, _ = l.run("a", "systemctl reboot") // the connection may end first
	l.waitBoot("a", first)
	second := l.mustRun("a", "ls /var/lib/kept /boot/kept >/dev/null && cat "+bootIDFile)

	if err := l.Break(ctx, "a", Fault{Power: true}); err != nil {
		t.Fatal(err)
	}
	l.waitBoot("a", second)
	l.mustRun("a", "ls /var/lib/kept /boot/kept")
	if boots := l.status("a").Boots; boots != 3 {
		t.Errorf("%d boots, want 3", boots)
	}

	for _, off := range []func(){
		func() { _, _ = l.run("a", "systemctl poweroff") },
		func() {
			if err := l.Break(ctx, "a", Fault{Power: true, StayOff: true}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		off()
		l.waitState("a", StateOff)
		if _, err := os.Stat(filepath.Join(l.status("a").Root, "var/lib/kept")); err != nil {
			t.Errorf("root of a host that is off: %v", err)
		}
		if err := l.Heal(ctx); err != nil {
			t.Fatal(err)
		}
		l.waitBoot("a", "")
	}
}

func (l *testLab) waitState(host, state string) {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	for l.status(host).State != state {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s is %s, want %s", host, l.status(host).State, state)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestBootsWhatBootNames(t *testing.T) {
	l := newTestLab(t, "a")
	l.up()
	old := l.mustRun("a", "cat "+bootIDFile)
	l.mustRun("a", "sed -i 's/^default .*/default nixos-generation-9.conf/' /boot/loader/loader.conf")
	_, _ = l.run("a", "systemctl reboot")
	l.waitState("a", StateFailed)
	if console := lastLines(l.status("a").Console, 1); !strings.Contains(console, "nixos-generation-9.conf") {
		t.Errorf("the console does not say why it does not boot: %s", console)
	}
	// Its disk can be repaired from outside, as with a rescue system.
	conf := filepath.Join(l.path("hosts", "a"), "boot/loader/loader.conf")
	supervisor, _, _ := strings.Cut(l.status("a").Root, "/root/")
	if err := os.WriteFile(supervisor+"/root"+conf, []byte("default nixos-*\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.waitBoot("a", old)
}

func TestUpAgain(t *testing.T) {
	l := newTestLab(t, "a", "b")
	both := l.hosts
	l.hosts = both[:1]
	l.up()
	id := l.mustRun("a", "cat "+bootIDFile)
	l.hosts = both
	l.up() // adds b, leaves a alone
	if now := l.mustRun("a", "cat "+bootIDFile); now != id {
		t.Error("up booted a host that ran")
	}
	l.mustRun("b", "true")

	l.mustRun("a", "touch /var/lib/kept")
	_, pid, err := l.ask(t.Context(), request{Op: "status"})
	if err != nil {
		t.Fatal(err)
	}
	if err := kill(pid); err != nil { // a blackout
		t.Fatal(err)
	}
	if err := waitUntil(t.Context(), "the supervisor ends", func() (bool, error) { return !alive(pid), nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Status(t.Context()); err == nil {
		t.Error("a dead lab has a status")
	}
	l.up()
	l.mustRun("a", "ls /var/lib/kept")
}

// TestUpBootsWhatIsDown: a host that failed or is off is booted by the next up.
func TestUpBootsWhatIsDown(t *testing.T) {
	l := newTestLab(t, "a", "b", "c")
	l.up()
	id := l.mustRun("c", "cat "+bootIDFile)
	if err := l.Break(t.Context(), "a", Fault{Power: true, StayOff: true}); err != nil {
		t.Fatal(err)
	}
	l.mustRun("b", "mv /boot/loader/loader.conf /boot/loader/kept")
	_, _ = l.run("b", "systemctl reboot")
	l.waitState("a", StateOff)
	l.waitState("b", StateFailed)
	if err := l.Up(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "host b does not boot") {
		t.Errorf("up with a broken host: %v", err)
	}
	if boots := l.status("b").Boots; boots != 3 {
		t.Errorf("up tried to boot b %d times in all, want 3", boots)
	}
	l.mustRun("a", "true")
	boot := filepath.Join(strings.TrimSuffix(l.status("b").Root, "root"), "boot/loader")
	if err := os.Rename(boot+"/kept", boot+"/loader.conf"); err != nil {
		t.Fatal(err)
	}
	l.up()
	l.mustRun("b", "true")
	if now := l.mustRun("c", "cat "+bootIDFile); now != id {
		t.Error("up booted a host that ran")
	}
}

func TestClash(t *testing.T) {
	l := newTestLab(t, "a")
	l.up()
	other := newTestLab(t, "a")
	other.hosts = l.hosts
	err := other.Up(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "Another lab of this machine has it, the one in "+l.state+":") {
		t.Errorf("two labs with the same addresses: %v", err)
	}
	lo := plan{networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/24")}}
	if err := checkClash(lo, ""); err == nil || !strings.Contains(err.Error(), "on this machine's lo") {
		t.Errorf("hosts in the loopback network: %v", err)
	}
}

func TestNix(t *testing.T) {
	needLab(t)
	l := newTestLab(t)
	if err := l.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := l.Nix()
	cmd := run(t.Context(), append(os.Environ(), "PATH="+dir, "PROBE=seen"), "nix", "eval", "--raw", "--impure", "--expr",
		`"${builtins.getEnv "PROBE"} ${builtins.readFile `+dir+`/in}"`)
	if err := os.WriteFile(filepath.Join(dir, "in"), []byte("too"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "seen too" {
		t.Errorf("nix eval: %v %s", err, out)
	}
	cmd = run(t.Context(), nil, "cat")
	cmd.Stdin = strings.NewReader("through")
	if out, err := cmd.Output(); err != nil || string(out) != "through" {
		t.Errorf("standard input and output: %v %q", err, out)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cmd = run(ctx, nil, "nix", "eval", "--expr", "let f = n: if n == 0 then 0 else f (n - 1); in f 1000000000")
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(300*time.Millisecond, cancel)
	begin := time.Now()
	if err := cmd.Wait(); err == nil {
		t.Error("nix outlived its context")
	}
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("nix ended %s after its context: %s", took, said.Bytes())
	}
}

// TestWaitUntilLooksAtTheEnd: what came about while the time ran out has come about.
func TestWaitUntilLooksAtTheEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	looks := 0
	if err := waitUntil(ctx, "it is there", func() (bool, error) {
		looks++
		cancel()
		return looks == 2, nil
	}); err != nil {
		t.Error(err)
	}
}
