package remote_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nixmesh/nixmesh/internal/testkit"
	"github.com/nixmesh/nixmesh/internal/testkit/leaks"
	"github.com/nixmesh/nixmesh/lab"
)

// TestMain lets the test's program be the stages of a lab's programs, and
// looks for goroutines that nobody waits for.
func TestMain(m *testing.M) {
	if code, ok := lab.Stage(os.Args); ok {
		os.Exit(code)
	}
	leaks.Main(m)
}

// labWrap is how the lab starts programs of its base image, where this machine
// can run it.
func labWrap(t *testing.T) testkit.Wrap {
	t.Helper()
	if testing.Short() || os.Getenv("NIXMESH_TEST_LAB") == "skip" {
		t.Skip("not on this machine, and the lab's is left out (-short or NIXMESH_TEST_LAB=skip)")
	}
	if err := lab.Check(); err != nil {
		t.Skip("not on this machine, and the lab cannot run here: ", err)
	}
	l, err := lab.New(lab.Options{StateDir: filepath.Join(t.TempDir(), "lab")})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context()); err != nil {
		t.Skip("not on this machine, and the lab has none: ", err)
	}
	return l.Nix()
}
