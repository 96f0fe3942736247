package modules_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit"
	"github.com/nixmesh/nixmesh/lab"
)

// TestMain lets the test's binary be the stages of a lab's nix.
func TestMain(m *testing.M) {
	if code, ok := lab.Stage(os.Args); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// labNix is the nix of the lab's base image.
func labNix(t *testing.T) testkit.Wrap {
	t.Helper()
	if testing.Short() || os.Getenv("NIXMESH_TEST_LAB") == "skip" {
		t.Skip("no nix on PATH, and the lab's is left out (-short or NIXMESH_TEST_LAB=skip)")
	}
	l, err := lab.New(lab.Options{StateDir: filepath.Join(t.TempDir(), "lab")})
	if err == nil {
		err = l.Prepare(t.Context())
	}
	if err != nil {
		t.Skip("no nix on PATH, and the lab has none: ", err)
	}
	nix := l.Nix()
	return func(ctx context.Context, env []string, args ...string) *exec.Cmd { return nix(ctx, env, args...) }
}

// eval evaluates a function of testdata/ with the stand-in nixpkgs, and reads
// what it gives. args are further arguments, as Nix writes them.
func eval(t *testing.T, function string, args map[string]string, into any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	expr := fmt.Sprintf("import %s { nixpkgs = %s; modules = %s;", absolute(t, "testdata/"+function), absolute(t, "../lab/nixpkgs"), absolute(t, "."))
	for name, value := range args {
		expr += fmt.Sprintf(" %s = %s;", name, value)
	}
	cmd := testkit.Nix(t, labNix)(ctx, os.Environ(), "nix", "--extra-experimental-features", "nix-command", "eval", "--impure", "--json", "--expr", expr+" }")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("evaluate %s: %v\n%s", function, err, stderr.String())
	}
	if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
