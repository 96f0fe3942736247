package spec

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the goldens anew")

// base is the rest of a fleet, for cases that are about one service. It stands
// in a file of its own, so that the places in in.hcl are those of the case.
const base = `fleet "shop" {
  nixpkgs = "github:NixOS/nixpkgs/nixos-26.05"
  inputs  = { infra = "github:acme/infra" }
}

operator "anna" {
  ssh     = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna"]
  nix_key = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E="
}

host "app1" {
  address = "10.0.0.21"
  tags    = ["app"]
}

host "app2" {
  address = "10.0.0.22"
  tags    = ["app", "canary"]
  imports = ["infra#nixosModules.base"]
}
`

// TestDiagnostics runs the goldens: in.hcl (and other files) in, the exact list
// of diagnostics out. in.hcl stands beside base unless the case has a fleet of
// its own in nixmesh.hcl. "lab.hcl" switches the lab on.
func TestDiagnostics(t *testing.T) {
	cases, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	covered, ran := map[string]bool{}, 0
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ran++
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dir, lab := unpack(t, archive)
			l := Load(dir, Options{Lab: lab, Version: "0.3.1"})
			var got bytes.Buffer
			for _, d := range l.Diagnostics {
				covered[d.Code] = true
				fmt.Fprintf(&got, "%s:%d,%d-%d,%d %s %s", d.File, d.Start.Line, d.Start.Column, d.End.Line, d.End.Column, d.Code, d.Severity)
				if d.Block != "" {
					fmt.Fprintf(&got, " (%s)", d.Block)
				}
				fmt.Fprintf(&got, "\n  %s\n", strings.ReplaceAll(d.Detail, dir, "DIR"))
				if d.Hint != "" {
					fmt.Fprintf(&got, "  hint: %s\n", d.Hint)
				}
			}
			if (l.Fleet == nil) != l.Diagnostics.HasErrors() {
				t.Errorf("fleet = %v with errors = %v", l.Fleet, l.Diagnostics.HasErrors())
			}
			golden(t, file, archive, "diagnostics", got.Bytes())
		})
	}
	for _, code := range Codes() {
		if ofLock := strings.HasPrefix(code, "NM07"); !covered[code] && !ofLock && ran == len(cases) { // those are of nixmesh.lock, and its tests'
			t.Errorf("no golden provokes %s", code)
		}
	}
}

// unpack writes a case into a folder. The comment may ask for links:
// "link NAME TARGET".
func unpack(t *testing.T, archive *txtar.Archive) (dir string, lab bool) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	own := false
	write := func(name string, text []byte) {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range archive.Files {
		own = own || f.Name == "nixmesh.hcl"
		lab = lab || f.Name == "lab.hcl"
		if f.Name != "diagnostics" && f.Name != "no-fleet" {
			write(f.Name, f.Data)
		}
		own = own || f.Name == "no-fleet"
	}
	if !own {
		write("nixmesh.hcl", []byte(base))
	}
	for line := range strings.Lines(string(archive.Comment)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "link" {
			if err := os.Symlink(fields[2], filepath.Join(dir, fields[1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir, lab
}

// golden compares with, or under -update writes, one file of an archive.
func golden(t *testing.T, file string, archive *txtar.Archive, name string, got []byte) {
	t.Helper()
	for i, f := range archive.Files {
		if f.Name != name {
			continue
		}
		if *update {
			archive.Files[i].Data = got
			if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(f.Data, got) {
			t.Errorf("got\n%s\nwant\n%s", got, f.Data)
		}
		return
	}
	t.Fatalf("%s has no %s", file, name)
}
