// Package e2e holds the tests that run the real program against real hosts of
// the lab: the path from HCL to a committed generation, and every fault that a
// switch must survive. They need Linux and root; NIXMESH_TEST_LAB=skip leaves
// them out and says so. Nothing here knows which nixpkgs the lab uses.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// subnets hands out one /24 a fleet, so that labs of several tests can run
// side by side on one machine.
var subnets atomic.Int32

// fleet is one test's fleet folder with a lab of its own.
type fleet struct {
	t      *testing.T
	dir    string
	subnet int
	hosts  []string
	blocks map[string]string // extra HCL by name, see set

	nixpkgs  string // flake reference of the lab's
	inputs   string // fleet.inputs, as HCL
	confirm  string // rollout.confirm
	settle   string // rollout.settle
	activate string // rollout.activate_timeout
	more     string // further lines of the fleet block
	program  string // that is run, where it is not the one under test
}

// The rollout of a fleet whose test waits for none of it to run out. A machine
// with other work takes long to come up, and nobody waits for that to be over.
const (
	ample         = "180s" // rollout.confirm
	amplySwitched = "300s" // rollout.activate_timeout
	calm          = "1s"   // rollout.settle
)

// binary is the program under test, as `make build` left it, or
// NIXMESH_TEST_BINARY, which has lab-services/ beside it like that one.
func binary(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(cmp.Or(os.Getenv("NIXMESH_TEST_BINARY"), "../../bin/nixmesh"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no %s: run `make build` first", path)
	}
	return path
}

// needLab skips where the lab cannot run, and fails where it was asked for.
func needLab(t *testing.T) {
	t.Helper()
	if testing.Short() || os.Getenv("NIXMESH_TEST_LAB") == "skip" {
		t.Skip("lab tests left out (-short or NIXMESH_TEST_LAB=skip)")
	}
	if out, err := exec.Command(binary(t), "lab", "check").CombinedOutput(); err != nil {
		if os.Getenv("NIXMESH_TEST_LAB") == "require" {
			t.Fatalf("the lab cannot run here: %s", out)
		}
		t.Skipf("the lab cannot run here: %s", out)
	}
}

// keep is set to look at what a failed test leaves.
func keep() bool { return os.Getenv("NIXMESH_TEST_KEEP") != "" }

// folder is a new one, which goes away with the test unless it is kept.
func folder(t *testing.T) string {
	t.Helper()
	if !keep() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "nixmesh-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() {
			_ = os.RemoveAll(dir)
		}
	})
	return dir
}

// newFleet boots a lab with the named hosts. It goes away with the test.
func newFleet(t *testing.T, hosts ...string) *fleet {
	t.Helper()
	needLab(t)
	f := &fleet{t: t, dir: folder(t), subnet: int(subnets.Add(1)), hosts: hosts, blocks: map[string]string{}, inputs: "{}",
		confirm: ample, settle: calm, activate: amplySwitched}
	f.nixpkgs = os.Getenv("NIXMESH_NIXPKGS")
	if f.nixpkgs == "" {
		standIn, err := filepath.Abs("../nixpkgs")
		if err != nil {
			t.Fatal(err)
		}
		f.nixpkgs = "path:" + standIn
	}
	f.file("lab.hcl", fmt.Sprintf("lab {\n  nixpkgs = %q\n}\n", f.nixpkgs))
	f.file("packages.nix", `final: prev: {
  web = final.nixmesh-lab-services;
  worker = final.nixmesh-lab-services;
}
`)
	for i, h := range hosts {
		f.file("hosts/"+h+".nix", "{ ... }: { system.stateVersion = \"26.05\"; }\n")
		f.set("host "+h, fmt.Sprintf("host %q {\n  address = %q\n  imports = [\"./hosts/%s.nix\"]\n}", h, f.address(i), h))
	}
	f.service("web", "")
	t.Cleanup(func() {
		if t.Failed() && keep() {
			t.Logf("kept: %s (nixmesh lab down -C %s)", f.dir, f.dir)
			return
		}
		if r := f.lab("down"); r.code != 0 {
			t.Errorf("lab down: %s", r)
		}
	})
	f.lab("up").want(t, 0)
	return f
}

// address is in 10.98.0.0/16, or in NIXMESH_TEST_NET ("10.97"): two processes
// with tests on one machine need nets of their own.
func (f *fleet) address(i int) string {
	return fmt.Sprintf("%s.%d.%d", cmp.Or(os.Getenv("NIXMESH_TEST_NET"), "10.98"), f.subnet, 11+i)
}

// file writes a file of the fleet's folder.
func (f *fleet) file(name, text string) {
	f.t.Helper()
	path := filepath.Join(f.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		f.t.Fatal(err)
	}
}

// service (re)writes the service `name`, an HTTP server with a check, with
// more lines in its block.
func (f *fleet) service(name, more string) {
	f.t.Helper()
	f.set("service "+name, fmt.Sprintf(`service %q {
  on      = ["*"]
  package = "web"
  exec    = "bin/web --listen 127.0.0.1:$PORT"

  listen "http" {}
  check { http = "/healthz" }
%s
}`, name, more))
}

// set adds or replaces one block and writes nixmesh.hcl. An empty text
// removes the block.
func (f *fleet) set(name, text string) {
	f.t.Helper()
	f.blocks[name] = text
	var b strings.Builder
	fmt.Fprintf(&b, `fleet "e2e" {
  nixpkgs  = "github:NixOS/nixpkgs/nixos-26.05"
  inputs   = %s
  overlays = ["./packages.nix"]

  rollout {
    confirm          = %q
    settle           = %q
    activate_timeout = %q
  }
%s
}

operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
}
`, f.inputs, f.confirm, f.settle, f.activate, f.more)
	for _, k := range sortedKeys(f.blocks) {
		if f.blocks[k] != "" {
			fmt.Fprintf(&b, "\n%s\n", f.blocks[k])
		}
	}
	f.file("nixmesh.hcl", b.String())
}

// nixos puts NixOS options on a host, as HCL of the `nixos` attribute.
func (f *fleet) nixos(host, options string) {
	f.t.Helper()
	for i, h := range f.hosts {
		if h == host {
			f.set("host "+h, fmt.Sprintf("host %q {\n  address = %q\n  imports = [\"./hosts/%s.nix\"]\n  nixos = %s\n}", h, f.address(i), h, options))
		}
	}
}

// result is how one run of the program ended.
type result struct {
	args           []string
	code           int
	stdout, stderr string
	took           time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("nixmesh %s: exit %d after %.1fs\n-- stdout --\n%s\n-- stderr --\n%s",
		strings.Join(r.args, " "), r.code, r.took.Seconds(), r.stdout, r.stderr)
}

// want fails the test unless the program ended with this code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("want exit %d: %s", code, r)
	}
	return r
}

// says fails the test unless every text is in the output.
func (r result) says(t *testing.T, texts ...string) result {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(r.stdout+r.stderr, s) {
			t.Fatalf("want %q in the output of %s", s, r)
		}
	}
	return r
}

// output is what a process says, which can be read while it goes on.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a run of the program that goes on.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	args           []string
	stdout, stderr *output
	started        time.Time
	cancel         context.CancelFunc
}

func (f *fleet) start(args ...string) *process {
	f.t.Helper()
	return f.startOn(nil, args...)
}

// startOn starts the program with an input, nil = none.
func (f *fleet) startOn(input *os.File, args ...string) *process {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	p := &process{t: f.t, cmd: exec.CommandContext(ctx, cmp.Or(f.program, binary(f.t)), args...), args: args, stdout: &output{}, stderr: &output{}, started: time.Now(), cancel: cancel}
	if input != nil {
		p.cmd.Stdin = input
	}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.Dir = f.dir
	p.cmd.Env = append(os.Environ(), "NO_COLOR=1", "NIXMESH_PROGRESS=plain")
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		cancel()
		f.t.Fatalf("start nixmesh: %v", err)
	}
	return p
}

func (p *process) wait() result {
	defer p.cancel()
	err := p.cmd.Wait()
	code := p.cmd.ProcessState.ExitCode()
	r := result{args: p.args, code: code, stdout: p.stdout.String(), stderr: p.stderr.String(), took: time.Since(p.started)}
	if err != nil && code == 0 {
		r.code = -1
	}
	if r.code != 0 && slices.Contains(p.args, "deploy") {
		p.t.Logf("deploy: exit %d after %.1fs: %s", r.code, r.took.Seconds(), r.essence())
	}
	return r
}

// essence is what the program said went wrong, for the log of the test.
func (r result) essence() string {
	var lines []string
	for line := range strings.Lines(r.stdout + r.stderr) {
		for _, word := range []string{"FAIL", "rolled back", "needs-operator", "refused", "unreachable", "not started", "nixmesh: "} {
			if strings.Contains(line, word) && len(lines) < 6 {
				lines = append(lines, strings.Join(strings.Fields(line), " "))
				break
			}
		}
	}
	return strings.Join(lines, " | ")
}

// run runs the program on this fleet as the lab has it.
func (f *fleet) run(args ...string) result { return f.startDeploy(args...).wait() }

// startDeploy starts the program on this fleet as the lab has it.
func (f *fleet) startDeploy(args ...string) *process {
	return f.start(append([]string{"-C", f.dir, "--lab"}, args...)...)
}

// deploy deploys without asking. Agents that act on the mesh configuration later
// than the program waits for them fail nobody, see wantTaken.
func (f *fleet) deploy(more ...string) result {
	f.t.Helper()
	r := f.run(append([]string{"deploy", "-y"}, more...)...)
	if r.code == 1 && late.MatchString(r.stdout+r.stderr) {
		return f.wantTaken(f.t, r)
	}
	return r
}

// lab runs a command of the lab.
func (f *fleet) lab(args ...string) result {
	return f.start(append([]string{"lab", "-C", f.dir}, args...)...).wait()
}

// ssh runs a command as root on a host.
func (f *fleet) ssh(host, command string) result {
	return f.lab("ssh", host, "--", command)
}

// labHost is a host as `lab status -o json` has it.
type labHost struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	State   string `json:"state"`
	PID     int    `json:"pid"`  // PID 1 of the host, in the machine's numbers
	Root    string `json:"root"` // the host's root as the machine sees it
}

func (f *fleet) host(name string) labHost {
	f.t.Helper()
	r := f.lab("status", "-o", "json").want(f.t, 0)
	var s struct {
		Hosts []labHost `json:"hosts"`
	}
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		f.t.Fatalf("read lab status: %v: %s", err, r)
	}
	for _, h := range s.Hosts {
		if h.Name == name {
			return h
		}
	}
	f.t.Fatalf("lab status has no host %s: %s", name, r)
	return labHost{}
}

// journal is what the tests read of a host's journal.
type journal struct {
	Run   string `json:"run"`
	Phase string `json:"phase"`
	Old   string `json:"old"`
	New   string `json:"new"`
}

// journal reads the host's journal from outside; it needs nothing of the host.
func (f *fleet) journal(root string) journal {
	var j journal
	b, err := os.ReadFile(filepath.Join(root, "var/lib/nixmesh/journal.json"))
	if err == nil {
		err = json.Unmarshal(b, &j)
	}
	if err != nil {
		return journal{}
	}
	return j
}

// patience bounds every wait for a condition. How soon it comes about is said by
// what measures it, and is no claim of the others: the machine is busy.
const patience = 2 * time.Minute

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	if !within(patience, ok) {
		t.Fatalf("waited %s in vain: %s", patience, what)
	}
}

// within says whether a condition comes true, which it asks for again and again: for
// a third of the time at most, since asking takes of the cores that it waits for.
func within(d time.Duration, ok func() bool) bool {
	for deadline := time.Now().Add(d); ; {
		asked := time.Now()
		if ok() {
			return true
		}
		now := time.Now()
		if now.After(deadline) {
			return false
		}
		time.Sleep(max(20*time.Millisecond, 2*now.Sub(asked)))
	}
}

// systems are the store paths that decide a host's state.
type systems struct{ current, profile, boot string }

// systems asks a host what runs, what the profile is and what would boot.
func (f *fleet) systems(host string) systems {
	f.t.Helper()
	r := f.ssh(host, `readlink -f /run/current-system; readlink -f /nix/var/nix/profiles/system; `+
		`sed -n 's/.*init=\([^ ]*\)\/init.*/\1/p' "/boot/loader/entries/$(sed -n 's/^default //p' /boot/loader/loader.conf)"`).want(f.t, 0)
	lines := strings.Fields(r.stdout)
	if len(lines) != 3 {
		f.t.Fatalf("read the systems of %s: %s", host, r)
	}
	return systems{lines[0], lines[1], lines[2]}
}

// wantSettled fails unless the host runs, keeps and boots one and the same
// system, and that system is want.
func (f *fleet) wantSettled(host, want string) {
	f.t.Helper()
	s := f.systems(host)
	if s.current != want || s.profile != want || s.boot != want {
		f.t.Fatalf("%s must run, keep and boot %s: %+v", host, want, s)
	}
}

// wantNoLitter fails where a finished run leaves units, timers or roots. What
// clears up behind it is a unit of its own, which may be under way.
func (f *fleet) wantNoLitter(host string) {
	f.t.Helper()
	var r result
	if !within(patience, func() bool {
		r = f.ssh(host, `ls /run/systemd/system 2>/dev/null | grep ^nixmesh- ; systemctl list-units --all --plain --no-legend 'nixmesh-*-r[0-9]*' ; ls -d /nix/var/nix/gcroots/nixmesh/run-* 2>/dev/null; true`)
		return r.code == 0 && strings.TrimSpace(r.stdout) == ""
	}) {
		f.t.Errorf("%s is left with litter of a run: %s", host, r)
	}
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
