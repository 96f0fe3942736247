// Package standin tests the stand-in of nixpkgs in lab/nixpkgs: what it
// evaluates to, what it says about wrong modules, and how its systems switch
// on a host of the lab.
package standin

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/lab"
)

// TestMain lets the test binary be the stages of the lab that it starts.
func TestMain(m *testing.M) {
	if code, ok := lab.Stage(os.Args); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// operator is the lab's nix, without hosts.
func operator(t *testing.T, hosts ...lab.Host) *lab.Lab {
	t.Helper()
	if testing.Short() || os.Getenv("NIXMESH_TEST_LAB") == "skip" {
		t.Skip("lab tests left out (-short or NIXMESH_TEST_LAB=skip)")
	}
	if err := lab.Check(); err != nil {
		t.Skip("no lab here: ", err)
	}
	folder, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	l, err := lab.New(lab.Options{StateDir: filepath.Join(t.TempDir(), "lab"), Fleet: folder, Hosts: hosts, Log: func(s string) { t.Log(s) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// nix runs a program of the lab's nix: standard output, standard error.
func nix(t *testing.T, l *lab.Lab, args ...string) (string, string, error) {
	t.Helper()
	var stdout, stderr strings.Builder
	cmd := l.Nix()(t.Context(), nil, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return stdout.String(), stderr.String(), err
}

func path(t *testing.T, name string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestClaims(t *testing.T) {
	l := operator(t)
	out, stderr, err := nix(t, l, "nix", "eval", "--impure", "--json", "--file", path(t, "nixpkgs/tests/eval.nix"))
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var wrong map[string]struct{ Got, Want json.RawMessage }
	if err := json.Unmarshal([]byte(out), &wrong); err != nil {
		t.Fatal(err)
	}
	for name, c := range wrong {
		t.Errorf("%s: got %s, want %s", name, c.Got, c.Want)
	}
}

func TestErrors(t *testing.T) {
	l := operator(t)
	file := path(t, "nixpkgs/tests/errors.nix")
	out, stderr, err := nix(t, l, "nix", "eval", "--impure", "--json", "--file", file, "--apply", "builtins.mapAttrs (_: c: c.says)")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var says map[string]string
	if err := json.Unmarshal([]byte(out), &says); err != nil {
		t.Fatal(err)
	}
	for name, want := range says {
		t.Run(name, func(t *testing.T) {
			_, stderr, err := nix(t, l, "nix", "eval", "--impure", "--file", file, name+".value")
			if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
				t.Fatalf("no error: %v\n%s", err, stderr)
			}
			// Nix indents what it is told.
			if got := words(stderr); !strings.Contains(got, words(want)) {
				t.Errorf("got %s\nwant %s in it", stderr, want)
			}
		})
	}
}

func words(s string) string { return strings.Join(strings.Fields(s), " ") }
