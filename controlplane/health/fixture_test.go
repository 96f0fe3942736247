package health

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// host is a host whose checks answer what a test says, and whose cgroups are
// files.
type host struct {
	*Health
	t       *testing.T
	cgroups string
	units   string

	mu      sync.Mutex // guards what follows
	answers map[string]hostfacts.Result
	takes   time.Duration
	began   map[string][]time.Time // when each check ran
	running map[string]int
	changes int
}

func newHost(t *testing.T) *host {
	h := &host{t: t, cgroups: t.TempDir(), units: t.TempDir(), answers: map[string]hostfacts.Result{}, began: map[string][]time.Time{}, running: map[string]int{}}
	h.Health = New(h.options())
	return h
}

func (h *host) options() Options {
	return Options{Run: h.run, Cgroups: h.cgroups, Units: h.units, NoWatch: true, OnChange: func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.changes++
	}}
}

func (h *host) run(ctx context.Context, c hostfacts.Check) hostfacts.Result {
	h.mu.Lock()
	result := h.answers[c.Name]
	takes := h.takes
	h.began[c.Name] = append(h.began[c.Name], time.Now())
	h.running[c.Name]++
	if h.running[c.Name] > 1 {
		h.t.Errorf("check %s runs %d times at once", c.Name, h.running[c.Name])
	}
	h.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running[c.Name]--
	return result
}

func (h *host) answer(check string, ok bool, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answers[check] = hostfacts.Result{OK: ok, Answer: text}
}

// count is how often something was seen.
func (h *host) count(what func() int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return what()
}

// start starts it, and stops it with the test.
func (h *host) start() {
	h.t.Helper()
	if err := h.Start(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) stop() {
	h.t.Helper()
	if err := h.Stop(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// unit makes a unit's cgroup, with a process in it or without.
func (h *host) unit(name string, populated bool) {
	h.t.Helper()
	folder := filepath.Join(h.cgroups, "system.slice", name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		h.t.Fatal(err)
	}
	text := "populated 0\nfrozen 0\n"
	if populated {
		text = "populated 1\nfrozen 0\n"
	}
	if err := os.WriteFile(filepath.Join(folder, "cgroup.events"), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// invocation makes systemd's link of a unit that is active.
func (h *host) invocation(name, invocation string) {
	h.t.Helper()
	link := filepath.Join(h.units, "invocation:"+name)
	_ = os.Remove(link)
	if err := os.Symlink(invocation, link); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) noUnit(name string) {
	h.t.Helper()
	// Moved away, since a file system uses an inode again that is free; the
	// kernel's cgroups never do.
	if err := os.Rename(filepath.Join(h.cgroups, "system.slice", name), filepath.Join(h.t.TempDir(), name)); err != nil {
		h.t.Fatal(err)
	}
}

// is fails the test unless an instance, by its unit, is in a state for a
// reason.
func (h *host) is(unit string, state State, reason string) {
	h.t.Helper()
	synctest.Wait()
	for _, i := range h.Instances() {
		if i.Unit == unit {
			if i.State != state || i.Reason != reason {
				h.t.Fatalf("%s is %s %q, want %s %q", unit, i.State, i.Reason, state, reason)
			}
			return
		}
	}
	h.t.Fatalf("no %s in %v", unit, h.Instances())
}

// after waits until an instance is in a state, and gives the time that took.
func (h *host) after(unit string, state State) time.Duration {
	h.t.Helper()
	begun := time.Now()
	for time.Since(begun) < 10*time.Minute {
		for _, i := range h.Instances() {
			if i.Unit == unit && i.State == state {
				return time.Since(begun)
			}
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
	}
	h.t.Fatalf("%s is not %s: %v", unit, state, h.Instances())
	return 0
}

func within(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s took %s, want %s to %s", what, got, least, most)
	}
}

var web = hostfacts.Instance{Service: "web", Unit: "web.service"}

func webCheck() hostfacts.Check {
	return hostfacts.Check{
		Name: "web", Service: "web", Unit: "web.service", Kind: hostfacts.CheckHTTP,
		Every: hostfacts.Duration(5 * time.Second), Timeout: hostfacts.Duration(3 * time.Second), Rise: 2, Fall: 3,
	}
}
