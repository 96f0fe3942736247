package compile_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/modules"
	"github.com/nixmesh/nixmesh/spec"
)

// TestMain lets the test's binary be the stages of a lab's nix.
func TestMain(m *testing.M) {
	if code, ok := lab.Stage(os.Args); ok {
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// evaluation bounds one call of nix; it takes half a second with the
// stand-in, a few with a real nixpkgs.
const evaluation = 5 * time.Minute

// nixTool starts nix: that of PATH, else that of the lab's base image.
type nixTool func(ctx context.Context, env []string, args ...string) *exec.Cmd

// findNix skips the test where there is no nix, and says why.
func findNix(t *testing.T) nixTool {
	t.Helper()
	if _, err := exec.LookPath("nix"); err == nil {
		return func(ctx context.Context, env []string, args ...string) *exec.Cmd {
			cmd := exec.CommandContext(ctx, args[0], args[1:]...)
			cmd.Env = append(os.Environ(), env...)
			return cmd
		}
	}
	if testing.Short() || os.Getenv("NIXMESH_TEST_LAB") == "skip" {
		t.Skip("no nix on PATH, and the lab's is left out (-short or NIXMESH_TEST_LAB=skip)")
	}
	if err := lab.Check(); err != nil {
		t.Skip("no nix on PATH, and the lab's cannot run here: ", err)
	}
	l, err := lab.New(lab.Options{StateDir: filepath.Join(t.TempDir(), "lab")})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Prepare(t.Context()); err != nil {
		t.Skip("no nix on PATH, and the lab has none: ", err)
	}
	return nixTool(l.Nix())
}

func (n nixTool) run(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), evaluation)
	defer cancel()
	args = append([]string{"nix", "--extra-experimental-features", "nix-command flakes"}, args...)
	cmd := n(ctx, nil, args...)
	var out, failure bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &failure
	if err := cmd.Run(); err != nil {
		return "", errors.New(failure.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// workspace is a fleet compiled to files that nix evaluates.
type workspace struct {
	nix   nixTool
	fleet string // folder of the HCL
	build string // folder of flake.nix
	tree  string // folder of nixmesh's modules and executable
}

// newWorkspace lays out an archive's fleet, nixmesh's folder, and a nixpkgs:
// $NIXMESH_NIXPKGS, else the stand-in of the lab.
func newWorkspace(t *testing.T, fleet string) *workspace {
	t.Helper()
	dir := t.TempDir()
	w := &workspace{nix: findNix(t), fleet: fleet, build: filepath.Join(dir, "build"), tree: filepath.Join(dir, "nixmesh")}
	err := fs.WalkDir(modules.FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(modules.FS, path)
		if err != nil {
			return err
		}
		write(t, filepath.Join(w.tree, "modules", path), text, 0o644)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.tree, "bin/nixmesh"), []byte("#!/bin/sh\n"), 0o755)
	return w
}

// compile writes the tree that the fleet's folder gives now, and names its
// hosts. A fleet with a gossip key has a CA.
func (w *workspace) compile(t *testing.T) (hosts []string) {
	t.Helper()
	hash, err := w.nix.run(t, "hash", "path", w.tree)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	o.NixmeshDir, o.NixmeshNarHash = w.tree, hash
	o.Nixpkgs = os.Getenv("NIXMESH_NIXPKGS")
	if o.Nixpkgs == "" {
		standIn, err := filepath.Abs("../lab/nixpkgs")
		if err != nil {
			t.Fatal(err)
		}
		o.Nixpkgs = "path:" + standIn
	}
	if _, err := os.Stat(filepath.Join(w.fleet, spec.GossipFile)); err == nil {
		o.CA = testCA()
	}
	r := compileFleet(t, w.fleet, o)
	if r.err != nil {
		t.Fatal(r.err)
	}
	write(t, filepath.Join(w.build, "flake.nix"), r.output.Flake, 0o644)
	for _, h := range r.output.Hosts {
		hosts = append(hosts, h.Name)
		dir := filepath.Join(w.build, "hosts", h.Name)
		write(t, filepath.Join(dir, "host.nix"), h.Module, 0o644)
		for _, root := range h.Roots {
			text, err := os.ReadFile(filepath.Join(w.fleet, root))
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "fleet", root), text, 0o644)
		}
	}
	return hosts
}

// eval is a host's configuration at an attribute path, as text.
func (w *workspace) eval(t *testing.T, host, attr string) (string, error) {
	t.Helper()
	return w.nix.run(t, "eval", "--raw", "path:"+w.build+"#nixosConfigurations."+host+".config."+attr)
}

// edit replaces text in a file of the fleet.
func (w *workspace) edit(t *testing.T, file, old, replacement string) {
	t.Helper()
	path := filepath.Join(w.fleet, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", file, old)
	}
	write(t, path, []byte(strings.Replace(string(text), old, replacement, 1)), 0o644)
}

func write(t *testing.T, file string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, text, mode); err != nil {
		t.Fatal(err)
	}
}
