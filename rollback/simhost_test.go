package rollback

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

const (
	simOld    = "/nix/store/00000000000000000000000000000000-nixos-system-h1-1"
	simNew    = "/nix/store/11111111111111111111111111111111-nixos-system-h1-2"
	simHelper = "/nix/store/22222222222222222222222222222222-nixmesh/bin/nixmesh"
	simRun    = "r2-sim"
)

// simHost is a host in one goroutine: a disk that can lose its power, a
// systemd that starts units one after the other, a clock that only sleeps
// move. Programs of Nix and NixOS are a few lines each.
type simHost struct {
	t      *testing.T
	disk   *simDisk
	now    time.Duration
	boots  int
	queue  []string                 // start jobs
	state  map[string]string        // unit to ActiveState
	timers map[string]time.Duration // name to deadline; absent = elapsed or none
	fail   map[string]int           // "NEW boot", "OLD test"…: exit status of that call
	key    ed25519.PrivateKey
	out    bytes.Buffer
	reboot bool
}

func newSimHost(t *testing.T) *simHost {
	s := &simHost{t: t, disk: newSimDisk(), fail: map[string]int{}}
	s.key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	for _, top := range []string{simOld, simNew} {
		facts, err := json.Marshal(hostfacts.Facts{Schema: hostfacts.Schema, Fleet: "lab", Host: "h1",
			Nixmesh: hostfacts.Nixmesh{Protocol: 1, Binary: simHelper}})
		if err != nil {
			t.Fatal(err)
		}
		s.disk.put(top+hostfacts.Path, string(facts))
		s.disk.put(top+hostfacts.DeployersPath, "k:"+base64.StdEncoding.EncodeToString(s.key.Public().(ed25519.PublicKey)))
		s.disk.put(top+"/nixos-version", "1")
		s.disk.put(top+"/system", "x86_64-linux")
		s.disk.program(top + stcPath)
	}
	s.disk.program(simHelper)
	for _, p := range []string{"nix-env", "nix-store", "systemctl", "journalctl"} {
		s.disk.program("/usr/bin/" + p)
	}
	s.disk.names[profilesDir+"/system-1-link"] = &simFile{link: simOld}
	s.disk.names[systemLink] = &simFile{link: "system-1-link"}
	s.disk.put("/boot/loader/entries/nixos-generation-1.conf", "options init="+simOld+"/init\n")
	s.disk.put("/boot/loader/loader.conf", "default nixos-generation-1.conf\n")
	s.disk.settle()
	s.boot()
	return s
}

// boot is what firmware, loader and init do: what the loader names runs.
func (s *simHost) boot() {
	s.boots++
	s.now = time.Duration(s.boots) * time.Second
	s.queue, s.state, s.timers, s.reboot = nil, map[string]string{}, map[string]time.Duration{}, false
	s.disk.locked = map[string]bool{}
	s.disk.put(bootIDFile, fmt.Sprintf("boot-%d\n", s.boots))
	s.disk.names[currentLink] = &simFile{link: s.loader()}
}

func (s *simHost) helper() *helper {
	h, err := newHelper(s.env(nil, nil))
	if err != nil {
		s.t.Fatal(err)
	}
	return h
}

func (s *simHost) loader() string {
	_, def := (&helper{Env: Env{Files: s.disk}}).loaderDefault()
	return def
}

func (s *simHost) env(stdin []byte, environ []string) Env {
	s.out.Reset()
	return Env{Stdin: bytes.NewReader(stdin), Stdout: &s.out, Stderr: io.Discard, Environ: environ,
		Files: s.disk, Clock: (*simClock)(s), Run: s.run, Executable: simHelper,
		Systemd: func(context.Context) (Systemd, error) { return (*simSystemd)(s), nil },
		Banner:  func(context.Context, string) (string, error) { return "SSH-2.0-x", nil },
		Exec:    func(string, []string, []string) error { return fmt.Errorf("unexpected exec") }}
}

// verb calls a verb and then lets the units run.
func (s *simHost) verb(req any, args ...string) int {
	b, err := json.Marshal(req)
	if err != nil {
		s.t.Fatal(err)
	}
	code := Main(context.Background(), s.env(b, nil), args)
	return code
}

// simClock moves only when somebody sleeps.
type simClock simHost

func (c *simClock) Boot() time.Duration { return c.now }

func (c *simClock) Sleep(_ context.Context, d time.Duration) error {
	c.now += d
	(*simHost)(c).fire()
	return nil
}

// fire queues the services of timers that are due.
func (s *simHost) fire() {
	for name, at := range s.timers {
		if s.now >= at {
			delete(s.timers, name)
			s.state[name] = "elapsed"
			s.queue = append(s.queue, strings.TrimSuffix(name, ".timer")+".service")
		}
	}
}

// settle runs start jobs, then timers, until nothing is left to do.
func (s *simHost) settle() {
	for range 200 {
		if s.reboot {
			s.boot()
			Main(context.Background(), s.env(nil, nil), []string{verbReconcile})
		}
		if len(s.queue) == 0 {
			if len(s.timers) == 0 {
				return
			}
			next := time.Duration(1 << 62)
			for _, at := range s.timers {
				next = min(next, at)
			}
			s.now = max(s.now, next)
			s.fire()
			continue
		}
		// The closing unit waits for the others: it comes last.
		i := slices.IndexFunc(s.queue, func(u string) bool { return !strings.Contains(u, "-"+kindClose+"-") })
		unit := s.queue[max(i, 0)]
		s.queue = slices.DeleteFunc(s.queue, func(u string) bool { return u == unit })
		s.runUnit(unit)
	}
	s.t.Fatalf("the host does not come to rest: %v %v", s.queue, s.timers)
}

// runUnit runs a unit file's ExecStart and ExecStopPost.
func (s *simHost) runUnit(unit string) {
	b, err := s.disk.ReadFile(unitDir + "/" + unit)
	if err != nil {
		return // its file was removed
	}
	settings := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if k, v, ok := strings.Cut(line, "="); ok {
			settings[k] = v
		}
	}
	s.state[unit] = "activating"
	code := s.execute(settings["ExecStart"], nil)
	s.state[unit] = "deactivating"
	result := "success"
	if code != 0 {
		result = "exit-code"
	}
	if post := settings["ExecStopPost"]; post != "" {
		s.execute(post, []string{"SERVICE_RESULT=" + result, "EXIT_CODE=exited", fmt.Sprintf("EXIT_STATUS=%d", code)})
	}
	delete(s.state, unit)
	next := settings["OnSuccess"]
	if code != 0 {
		next = settings["OnFailure"]
		s.reboot = s.reboot || settings["FailureAction"] == "reboot-force"
	}
	if next != "" {
		s.queue = append(s.queue, next)
	}
}

func (s *simHost) execute(line string, environ []string) int {
	f := strings.Fields(line)
	switch {
	case f[0] == simHelper:
		return Main(context.Background(), s.env(nil, environ), f[2:])
	case path.Base(f[0]) == "systemctl":
		s.queue = append(s.queue, f[len(f)-1])
		return 0
	}
	return s.stc(f[0], f[1])
}

// stc is switch-to-configuration, as careful with the disk as the real
// installers are: files are synced before they replace others, folders not.
func (s *simHost) stc(program, action string) int {
	top := strings.TrimSuffix(program, stcPath)
	name := map[string]string{simOld: "OLD", simNew: "NEW"}[top]
	if code := s.fail[name+" "+action]; code != 0 {
		return code
	}
	if action == "test" {
		s.disk.names[currentLink] = &simFile{link: top}
		return 0
	}
	def := ""
	for _, n := range s.generations() {
		target := s.disk.names[fmt.Sprintf("%s/system-%d-link", profilesDir, n)].link
		s.replace(fmt.Sprintf("/boot/loader/entries/nixos-generation-%d.conf", n), "options init="+target+"/init\n")
		if target == top {
			def = fmt.Sprintf("nixos-generation-%d.conf", n)
		}
	}
	s.replace("/boot/loader/loader.conf", "default "+def+"\n")
	return 0
}

func (s *simHost) replace(name, text string) {
	s.disk.Write(name+".tmp", []byte(text), 0o644)
	s.disk.Sync(name + ".tmp")
	s.disk.Rename(name+".tmp", name)
}

func (s *simHost) generations() []int {
	var all []int
	for name := range s.disk.names {
		var n int
		if c, _ := fmt.Sscanf(name, profilesDir+"/system-%d-link", &n); c == 1 {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// run is the programs that the helper starts.
func (s *simHost) run(_ context.Context, c Command) (CommandResult, error) {
	arg := func(i int) string { return c.Args[len(c.Args)-i] }
	switch path.Base(c.Path) {
	case "switch-to-configuration":
		return CommandResult{Code: s.stc(c.Path, c.Args[0])}, nil
	case "nix-store":
		if c.Args[0] == "--query" {
			return CommandResult{Out: []byte(map[string]string{"--hash": "sha256:h", "--size": "1", "--references": ""}[c.Args[1]])}, nil
		}
		s.disk.Symlink(c.Args[1], arg(1))
	case "nix-env": // semantics: the highest generation that is the same path is not made again
		n := 0
		if c.Args[2] == "--switch-generation" {
			fmt.Sscan(arg(1), &n)
		} else {
			all := s.generations()
			n = all[len(all)-1]
			if s.disk.names[fmt.Sprintf("%s/system-%d-link", profilesDir, n)].link != arg(1) {
				n++
				s.disk.Symlink(arg(1), fmt.Sprintf("%s/system-%d-link", profilesDir, n))
			}
		}
		s.disk.Symlink(fmt.Sprintf("system-%d-link", n), profilesDir+"/tmp")
		s.disk.Rename(profilesDir+"/tmp", systemLink)
	}
	return CommandResult{}, nil
}

// simSystemd is PID 1 of a simHost.
type simSystemd simHost

var _ Systemd = (*simSystemd)(nil)

func (s *simSystemd) Start(_ context.Context, unit string) error {
	if !slices.Contains(s.queue, unit) && s.state[unit] == "" {
		s.queue = append(s.queue, unit)
	}
	return nil
}

func (s *simSystemd) Stop(_ context.Context, unit string) error {
	delete(s.timers, unit)
	if s.state[unit] == "elapsed" {
		delete(s.state, unit)
	}
	s.queue = slices.DeleteFunc(s.queue, func(u string) bool { return u == unit })
	return nil
}

func (s *simSystemd) Reload(context.Context) error              { return nil }
func (s *simSystemd) ResetFailed(context.Context, string) error { return nil }

func (s *simSystemd) StartTimer(_ context.Context, name string, after time.Duration) error {
	s.timers[name] = s.now + after
	return nil
}

func (s *simSystemd) List(context.Context) ([]UnitInfo, error) {
	var units []UnitInfo
	for u, state := range s.state {
		active, sub := state, ""
		if state == "elapsed" {
			active, sub = "active", "elapsed"
		}
		units = append(units, UnitInfo{Name: u, Active: active, Sub: sub})
	}
	for _, u := range s.queue {
		units = append(units, UnitInfo{Name: u, Active: "inactive", Job: true})
	}
	for u := range s.timers {
		units = append(units, UnitInfo{Name: u, Active: "active", Sub: "waiting"})
	}
	return units, nil
}

func (s *simSystemd) Show(_ context.Context, names []string) ([]UnitDetail, error) {
	var out []UnitDetail
	for _, n := range names {
		active := s.state[n]
		if active == "" {
			active = "inactive"
		}
		out = append(out, UnitDetail{UnitInfo: UnitInfo{Name: n, Load: "loaded", Active: active, Job: slices.Contains(s.queue, n)}})
	}
	return out, nil
}

func (s *simSystemd) State(context.Context) (string, error) { return "running", nil }
func (s *simSystemd) Close()                                {}
