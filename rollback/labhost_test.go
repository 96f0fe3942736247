package rollback

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// baseVariable names a root image to boot a lab host from: Debian with
// systemd, openssh-server, iproute2 and nix. It is only read. Without it, the
// one in the lab's cache is taken.
const baseVariable = "NIXMESH_LAB_BASE"

func baseImage() string {
	if base := os.Getenv(baseVariable); base != "" {
		return base
	}
	cache := os.Getenv("NIXMESH_CACHE")
	if cache == "" {
		cache = "/var/cache/nixmesh"
	}
	images, _ := filepath.Glob(cache + "/base-*/usr/bin/nix-store")
	if len(images) == 0 {
		return ""
	}
	return strings.TrimSuffix(images[len(images)-1], "/usr/bin/nix-store")
}

// TestMain lets the test binary be the host's program: `TEST host VERB …`.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "host" {
		env := System()
		env.Check = checkFile
		env.Signature = func(_ []string, _ string, _ []byte, sig string) error {
			if sig != "good" {
				return fmt.Errorf("bad signature")
			}
			return nil
		}
		os.Exit(Main(context.Background(), env, os.Args[2:]))
	}
	os.Exit(m.Run())
}

// checkFile is the lab's check: the file named by Path exists.
func checkFile(_ context.Context, c hostfacts.Check) (bool, string) {
	if _, err := os.Stat(c.Path); err != nil {
		return false, "GET /healthz 503"
	}
	return true, "GET /healthz 200"
}

// labHost is a host with its own root, PID 1 and /boot, in namespaces.
type labHost struct {
	t      *testing.T
	dir    string
	helper string // store path of the program
	key    ed25519.PrivateKey
	cmd    *exec.Cmd
	down   chan error
	pid    int // of the host's PID 1, as we see it
	runs   int
}

// newLabHost makes and boots a host; the test is skipped where that cannot be.
func newLabHost(t *testing.T) *labHost {
	t.Helper()
	base := baseImage()
	switch {
	case testing.Short():
		t.Skip("boots a host: not in -short")
	case base == "":
		t.Skip("no root image: run nixmesh lab up once, or set " + baseVariable)
	case os.Getuid() != 0:
		t.Skip("needs root for namespaces and mounts")
	}
	dir, err := os.MkdirTemp("/var/tmp", "nixmesh-rollback-")
	if err != nil {
		t.Fatal(err)
	}
	h := &labHost{t: t, dir: dir}
	_, h.key, err = ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.remove)
	for _, d := range []string{"up", "wk", "root"} {
		h.must(os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	h.must(syscall.Mount("overlay", h.path(""), "overlay", 0,
		"lowerdir="+base+",upperdir="+dir+"/up,workdir="+dir+"/wk"))
	for _, d := range []string{"nix/store", "nix/var/nix/profiles", "etc/nix", "boot/loader/entries", "var/lib/nixmesh"} {
		h.must(os.MkdirAll(h.path(d), 0o755))
	}
	h.write("etc/nix/nix.conf", "experimental-features = nix-command flakes\nbuild-users-group =\nsandbox = false\nsubstituters =\n")
	for _, u := range []string{"console-getty.service", "systemd-modules-load.service",
		// Path units take inotify instances, of which the machine has few for
		// all its hosts.
		"systemd-ask-password-console.path", "systemd-ask-password-wall.path"} {
		h.must(os.Symlink("/dev/null", h.path("etc/systemd/system/"+u)))
	}
	self, err := os.Executable()
	h.must(err)
	h.shell("mkdir -p " + h.path("srv/nixmesh/bin") + " && cp " + self + " " + h.path("srv/nixmesh/bin/nixmesh"))
	h.helper = h.add("nixmesh")
	return h
}

// bootFirst makes toplevel the first generation and boots it.
func (h *labHost) bootFirst(toplevel string) {
	h.t.Helper()
	h.chroot("nix-env", "-p", systemLink, "--set", toplevel)
	h.chroot(toplevel+stcPath, "boot")
	h.boot()
}

func (h *labHost) path(p string) string { return filepath.Join(h.dir, "root", p) }

func (h *labHost) write(p, text string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Dir(h.path(p)), 0o755))
	h.must(os.WriteFile(h.path(p), []byte(text), 0o644))
}

func (h *labHost) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *labHost) shell(script string) string {
	h.t.Helper()
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// chroot runs a program in the root of a host that is down.
func (h *labHost) chroot(args ...string) string {
	h.t.Helper()
	script := `set -e; r=$1; shift; mount --make-rprivate /; mount -t proc proc $r/proc; mount --rbind /dev $r/dev; mount -t tmpfs tmpfs $r/run
exec chroot $r env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"`
	cmd := exec.Command("unshare", append([]string{"-m", "sh", "-c", script, "sh", h.path("")}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("%v: %v\n%s%s", args, err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// in runs a program inside the running host; its output, stderr apart.
func (h *labHost) in(stdin string, args ...string) (stdout string, code int) {
	h.t.Helper()
	cmd := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(h.pid), "-a", "--", "env", "-i",
		"HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Run()
	if s := strings.TrimSpace(errs.String()); s != "" {
		h.t.Logf("%s: stderr: %s", strings.Join(args, " "), s)
	}
	return strings.TrimSpace(out.String()), cmd.ProcessState.ExitCode()
}

// add puts /srv/NAME of the host into its store.
func (h *labHost) add(name string) string {
	h.t.Helper()
	if h.pid == 0 {
		return h.chroot("nix-store", "--add", "/srv/"+name)
	}
	out, code := h.in("", "nix-store", "--add", "/srv/"+name)
	if code != 0 {
		h.t.Fatalf("add %s: %s", name, out)
	}
	return out
}

// toplevel describes a hand-written system.
type toplevel struct {
	name  string            // version part of the name
	flags []string          // files that make switch-to-configuration misbehave
	units map[string]string // unit name to its [Service] lines
	want  []string          // units that host.json demands
	check string            // file that the one check wants; "" = no check
	hold  bool              // rollout.last_resort = "hold"
	edit  func(*hostfacts.Facts)
}

const bootUnit = `[Unit]
Description=nixmesh reconciliation at boot
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=%s/bin/nixmesh host reconcile
# X-RestartIfChanged=false
`

// build puts a toplevel into the host's store.
func (h *labHost) build(tl toplevel) string {
	h.t.Helper()
	name := "nixos-system-h1-" + tl.name
	d := "srv/" + name
	h.must(os.RemoveAll(h.path(d)))
	h.must(os.MkdirAll(h.path("srv"), 0o755))
	h.shell("cp -r testdata/host/toplevel " + h.path(d))
	for _, f := range append(tl.flags, "nixos-version", "init-interface-version") {
		h.write(d+"/"+f, "1")
	}
	h.write(d+"/system", "x86_64-linux")
	facts := hostfacts.Facts{Schema: hostfacts.Schema, Fleet: "lab", Host: "h1", System: "x86_64-linux",
		Nixmesh: hostfacts.Nixmesh{Version: "test", Protocol: hostfacts.Protocol, Binary: h.helper + "/bin/nixmesh"},
		Rollout: hostfacts.Rollout{Confirm: hostfacts.Duration(2 * time.Minute), Settle: hostfacts.Duration(time.Second),
			ActivateTimeout: hostfacts.Duration(time.Minute), LastResort: "reboot"}}
	if tl.hold {
		facts.Rollout.LastResort = "hold"
	}
	for _, u := range tl.want {
		facts.Units = append(facts.Units, hostfacts.Unit{Name: u, Service: strings.TrimSuffix(u, ".service")})
	}
	if tl.check != "" {
		facts.Checks = []hostfacts.Check{{Name: "web", Service: "web", Unit: "web.service", Kind: hostfacts.CheckHTTP, Path: tl.check}}
	}
	if tl.edit != nil {
		tl.edit(&facts)
	}
	b, err := json.Marshal(facts)
	h.must(err)
	h.write(d+hostfacts.Path, string(b))
	public := h.key.Public().(ed25519.PublicKey)
	h.write(d+hostfacts.DeployersPath, "lab-1:"+base64.StdEncoding.EncodeToString(public)+"\n")
	h.must(os.MkdirAll(h.path(d+"/etc/systemd/system"), 0o755))
	h.write(d+"/etc/systemd/system/nixmesh-host.service", fmt.Sprintf(bootUnit, h.helper))
	for u, text := range tl.units {
		h.write(d+"/etc/systemd/system/"+u, "[Service]\n"+text+"\n")
	}
	h.must(os.MkdirAll(h.path(d+"/sw/bin"), 0o755))
	h.must(os.Symlink(h.helper+"/bin/nixmesh", h.path(d+"/sw/bin/nixmesh")))
	return h.add(name)
}

// boot starts the host and waits until its PID 1 answers. A reboot from inside
// boots it again, like a machine.
func (h *labHost) boot() {
	h.t.Helper()
	console, err := os.OpenFile(filepath.Join(h.dir, "console.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	h.must(err)
	defer console.Close()
	h.cmd = exec.Command("unshare", "-m", "bash", "testdata/host/power.sh", h.dir)
	h.cmd.Stdout, h.cmd.Stderr = console, console
	h.must(h.cmd.Start())
	h.down = make(chan error, 1)
	go func(c *exec.Cmd, down chan error) { down <- c.Wait() }(h.cmd, h.down)
	h.await("boot", func() bool {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", h.cmd.Process.Pid, h.cmd.Process.Pid))
		if err != nil || len(bytes.Fields(b)) == 0 {
			return false
		}
		fmt.Sscan(string(b), &h.pid)
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", h.pid))
		if strings.TrimSpace(string(comm)) != "systemd" {
			return false
		}
		cmd := exec.Command("nsenter", "-t", fmt.Sprint(h.pid), "-a", "--", "systemctl", "is-system-running")
		out, _ := cmd.Output()
		s := strings.TrimSpace(string(out))
		return s == "running" || s == "degraded"
	})
}

// power cuts the power: PID 1 and all its children are killed at once.
func (h *labHost) power() {
	h.t.Helper()
	h.cmd.Process.Kill()
	<-h.down
	h.pid = 0
}

// awaitReboot waits until the host went down by itself, and boots it again.
func (h *labHost) awaitReboot() {
	h.t.Helper()
	select {
	case <-h.down:
	case <-time.After(patience):
		h.t.Fatalf("the host did not reboot within %s\n%s", patience, h.console())
	}
	h.pid = 0
	h.boot()
}

func (h *labHost) console() string {
	b, _ := os.ReadFile(filepath.Join(h.dir, "console.log"))
	lines := strings.Split(string(b), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

func (h *labHost) remove() {
	if h.t.Failed() && h.pid != 0 {
		h.in("", "pkill", "-QUIT", "-x", "nixmesh") // where does it hang?
		out, _ := h.in("", "sh", "-c", "sleep 0.5; systemctl list-units --all --no-legend 'nixmesh-*'; systemctl list-jobs; ps ax -o pid,etime,args | grep -v '\\['")
		h.t.Logf("journal: %+v\n%s", h.journal().Times, out)
		if b, err := os.ReadFile(h.path(logDir + "/" + h.run() + ".log")); err == nil {
			h.t.Logf("log of the run:\n%s", b)
		}
	}
	if h.cmd != nil {
		h.cmd.Process.Kill()
		select {
		case <-h.down:
		case <-time.After(10 * time.Second):
		}
	}
	for range 20 { // its processes are dying
		if exec.Command("unshare", "-m", "bash", "testdata/host/power.sh", h.dir, "off").Run() == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	for range 50 {
		if err := syscall.Unmount(h.path(""), syscall.MNT_DETACH); err == nil || err == syscall.EINVAL {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	os.RemoveAll(h.dir)
}

// patience bounds every wait for a condition. How soon one comes about is no
// claim of these tests: the machine may be busy with others.
const patience = 3 * time.Minute

func (h *labHost) await(what string, ok func() bool) {
	h.t.Helper()
	until := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(until) {
			h.t.Fatalf("%s: not within %s\n%s", what, patience, h.console())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// hangs waits until the switch of a toplevel with the flag hang does.
func (h *labHost) hangs(run string) {
	h.t.Helper()
	h.await("the switch hangs", func() bool {
		b, err := os.ReadFile(h.path(logFile(run)))
		return err == nil && slices.Contains(strings.Split(string(b), "\n"), "hanging")
	})
}

// confirmWithin has the host wait no longer for what holds, and for a commit not
// much longer. What is to be committed gets the time of build.
func confirmWithin(d time.Duration) func(*hostfacts.Facts) {
	return func(f *hostfacts.Facts) { f.Rollout.Confirm = hostfacts.Duration(d) }
}

// verb calls a verb as the deployer does.
func (h *labHost) verb(req any, args ...string) (string, int) {
	h.t.Helper()
	b, err := json.Marshal(req)
	h.must(err)
	return h.in(string(b), append([]string{h.helper + "/bin/nixmesh", "host"}, args...)...)
}

// ok calls a verb that has to succeed.
func (h *labHost) ok(req any, args ...string) StatusAnswer {
	h.t.Helper()
	out, code := h.verb(req, args...)
	if code != 0 {
		h.t.Fatalf("%v: status %d: %s", args, code, out)
	}
	var a StatusAnswer
	h.must(json.Unmarshal([]byte(out), &a))
	return a
}

// run is the id of the newest run.
func (h *labHost) run() string { return fmt.Sprintf("r%d-test", h.runs) }

// open takes the lease and roots a toplevel as a new run.
func (h *labHost) open(next string, edit ...func(*RootRequest)) string {
	h.t.Helper()
	h.verb(LeaseRequest{Run: h.run()}, "lease", "drop", "run")
	h.runs++
	run := h.run()
	if out, code := h.verb(LeaseRequest{Run: run, Holder: "anna@laptop", Reason: "release"}, "lease", "take", "run"); code != 0 {
		h.t.Fatalf("lease: %s", out)
	}
	req := RootRequest{Release: h.runs, ReleaseHash: strings.Repeat("a", 64), New: next, Signatures: []string{h.sign(next)}}
	for _, e := range edit {
		e(&req)
	}
	h.ok(req, "root", run)
	return run
}

func (h *labHost) sign(p string) string {
	h.t.Helper()
	q := func(what string) string { out, _ := h.in("", "nix-store", "-q", what, p); return out }
	refs := strings.Fields(q("--references"))
	slices.Sort(refs)
	print := fmt.Sprintf("1;%s;%s;%s;%s", p, q("--hash"), q("--size"), strings.Join(refs, ","))
	return "lab-1:" + base64.StdEncoding.EncodeToString(ed25519.Sign(h.key, []byte(print)))
}

// journal reads the host's journal from outside.
func (h *labHost) journal() *Journal {
	b, err := os.ReadFile(h.path(journalFile))
	if err != nil {
		return &Journal{}
	}
	j, err := decodeJournal(b)
	h.must(err)
	return j
}

func (h *labHost) awaitPhase(phases ...Phase) *Journal {
	h.t.Helper()
	h.await(fmt.Sprintf("phase %v", phases), func() bool { return slices.Contains(phases, h.journal().Phase) })
	return h.journal()
}

// boots is the toplevel that the loader's default names.
func (h *labHost) boots() string {
	hp := &helper{Env: Env{Files: rootedFiles{root: h.path("")}}}
	_, def := hp.loaderDefault()
	return def
}

func (h *labHost) current() string {
	out, _ := h.in("", "readlink", currentLink)
	return out
}

func (h *labHost) profile() string {
	out, _ := h.in("", "sh", "-c", "readlink "+profilesDir+"/$(readlink "+systemLink+")")
	return out
}

// ended demands the whole end state: what runs, what boots, and no litter.
func (h *labHost) ended(want string) {
	h.t.Helper()
	if got := h.current(); got != want {
		h.t.Errorf("runs %s, want %s", got, want)
	}
	if got := h.profile(); got != want {
		h.t.Errorf("profile is %s, want %s", got, want)
	}
	if got := h.boots(); got != want {
		h.t.Errorf("boots %s, want %s", got, want)
	}
	h.noLitter()
}

func (h *labHost) noLitter() {
	h.t.Helper()
	litter := func() string {
		units, _ := h.in("", "sh", "-c", "ls /run/systemd/system /run/systemd/transient 2>/dev/null | grep ^nixmesh-; systemctl list-units --all --plain --no-legend 'nixmesh-*-r*' | grep -v 'not-found *inactive'; ls "+gcrootsDir+" 2>/dev/null | grep run-")
		return units
	}
	until := time.Now().Add(patience)
	for litter() != "" {
		if time.Now().After(until) {
			h.t.Errorf("left behind:\n%s", litter())
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// rootedFiles reads below a folder, enough for the loader.
type rootedFiles struct {
	osFiles
	root string
}

func (f rootedFiles) ReadFile(name string) ([]byte, error)  { return f.osFiles.ReadFile(f.root + name) }
func (f rootedFiles) ReadDir(name string) ([]string, error) { return f.osFiles.ReadDir(f.root + name) }
func (f rootedFiles) Stat(name string) (FileInfo, error)    { return f.osFiles.Stat(f.root + name) }
