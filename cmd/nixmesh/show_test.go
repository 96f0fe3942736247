package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/spec"
)

// TestShowHoldsTheGrammar prints the samples that hold the whole language: each
// argument of each block is in the text and in the JSON. Views hold the grammar,
// which spec tests.
func TestShowHoldsTheGrammar(t *testing.T) {
	samples, err := filepath.Glob("../../spec/testdata/check/valid*.txtar")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, sample := range samples {
		t.Run(strings.TrimSuffix(filepath.Base(sample), ".txtar"), func(t *testing.T) {
			dir := sampleDir(t, sample)
			l := spec.Load(dir, spec.Options{Version: "0.4.0"})
			if l.Fleet == nil {
				t.Fatal(l.Diagnostics)
			}
			s, err := showerOf(l, &spec.Lock{})
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range s.views {
				n := s.node(v)
				var text bytes.Buffer
				if err := n.print(&text, term.Style{}, ""); err != nil {
					t.Fatal(err)
				}
				encoded, err := json.Marshal(n.tree())
				if err != nil {
					t.Fatal(err)
				}
				holds(t, v, text.String(), string(encoded))
			}
		})
	}
}

// holds compares the arguments of a view with what was printed of it.
func holds(t *testing.T, v *spec.View, text, encoded string) {
	t.Helper()
	if v.Off {
		return
	}
	for _, a := range v.Args {
		if !strings.Contains(text, " "+a.Name+" ") || !strings.Contains(encoded, `"`+a.Name+`":`) {
			t.Errorf("%s %q: %s is not shown", v.Kind, v.Label, a.Name)
		}
	}
	for _, b := range v.Blocks {
		holds(t, b, text, encoded)
	}
}

// sampleDir unpacks a sample of spec, which may leave the fleet block out.
func sampleDir(t *testing.T, sample string) string {
	t.Helper()
	archive, err := txtar.ParseFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, f := range archive.Files {
		if f.Name == "diagnostics" {
			continue
		}
		file := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "nixmesh.hcl")
	if _, err := os.Stat(root); err == nil {
		return dir
	}
	base, _, _ := strings.Cut(testFleet, `service "web"`)
	base = strings.Replace(base, "nixos-26.05\"\n", "nixos-26.05\"\n  inputs  = { infra = \"github:acme/infra\" }\n", 1)
	base = strings.Replace(base, "10.0.0.21\"\n", "10.0.0.21\"\n  tags    = [\"app\"]\n", 1)
	base += "host \"app2\" {\n  address = \"10.0.0.22\"\n  tags    = [\"app\", \"canary\"]\n}\n"
	if err := os.WriteFile(root, []byte(base), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
