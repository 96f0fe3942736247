package lab

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

// crashEnv makes the test binary boot a lab and nothing else: the victim of
// TestCrashedUp. Its value is the lab as JSON.
const crashEnv = "NIXMESH_LAB_TEST_UP"

type victim struct {
	StateDir string
	Hosts    []Host
}

func (v victim) run() int {
	l, err := New(Options{StateDir: v.StateDir, Hosts: v.Hosts})
	if err == nil {
		ctx, cancel := testContext()
		defer cancel()
		err = l.Up(ctx, nil)
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return 0
}

// TestCrashedUp kills `lab up` at many moments, and the supervisor with it or
// not: down clears all of it, and a next up works.
func TestCrashedUp(t *testing.T) {
	warm := newTestLab(t, "a", "b")
	warm.up() // the cache is there now
	for _, after := range []time.Duration{2, 5, 10, 15, 20, 30, 50, 80, 150, 400} {
		l := newTestLab(t, "a", "b")
		text, err := json.Marshal(victim{l.state, l.hosts})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), crashEnv+"="+string(text))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		_, pid, err := l.ask(t.Context(), request{Op: "status"})
		t.Logf("killed after %d ms: supervisor %d (%v)", after, pid, err)
		if err != nil && !errors.Is(err, ErrNotRunning) {
			t.Error(err)
		}
		if err := l.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		// What else up had started in its name gets SIGTERM with its death;
		// that works in the cache, and never on the lab.
		if err := waitUntil(t.Context(), "the victim's children end", func() (bool, error) { return len(l.processes()) == 0, nil }); err != nil {
			t.Error(err)
		}
		l.wantNoTraces()
	}
	l := newTestLab(t, "a", "b")
	l.up()
}

// TestDownAfterKilledUp is the worst moment to kill `lab up`: its supervisor
// and its ip(8) are on their way, and nobody can find them yet. Down waits for
// them, since they hold the lock.
func TestDownAfterKilledUp(t *testing.T) {
	l := newTestLab(t, "a")
	if err := l.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	base := l.cache.path(baseName())
	for _, configured := range []bool{false, true} {
		images, err := l.cache.images(t.Context(), l.view(base))
		if err != nil {
			t.Fatal(err)
		}
		lock, err := l.lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.spawnSupervisor(lock)
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.Open(l.path("lock")) // does not hold it
		if err != nil {
			t.Fatal(err)
		}
		lock.Close() // up is dead

		waits := make(chan struct{})
		l.log = func(string) { close(waits) }
		down := make(chan error, 1)
		go func() { down <- l.Down(t.Context()) }()
		select {
		case <-waits:
		case err := <-down:
			t.Errorf("down ended (%v) before the supervisor that up had started", err)
			down <- err
		}
		if err := l.connectMachine(t.Context(), other, base, s.pid); err != nil { // ip has outlived up
			t.Error(err)
		}
		other.Close()
		if configured {
			if err := json.NewEncoder(s.config).Encode(superviseConfig{State: l.state, ID: l.id(), Base: base, Images: images}); err != nil {
				t.Error(err)
			}
		}
		s.config.Close()
		if err := <-down; err != nil {
			t.Error(err)
		}
		l.wantNoTraces()
		l.log = func(string) {}
	}
}
