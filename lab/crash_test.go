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
		before := traces(t, l.state)
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
		time.Sleep(50 * time.Millisecond) // a supervisor without configuration ends by itself
		wantNoNewTraces(t, before, traces(t, l.state))
	}
	l := newTestLab(t, "a", "b")
	l.up()
}
