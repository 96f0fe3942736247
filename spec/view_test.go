package spec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestViewHoldsTheGrammar: whatever the grammar gives a block stands in its view,
// written or not, for every block of the samples that hold the whole language.
func TestViewHoldsTheGrammar(t *testing.T) {
	samples, err := filepath.Glob("testdata/check/valid*.txtar")
	if err != nil || len(samples) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	seen := map[string]bool{}
	var hold func(path string, schema *blockSchema, v *View)
	hold = func(path string, schema *blockSchema, v *View) {
		seen[path] = true
		for i, a := range schema.list {
			if i >= len(v.Args) || v.Args[i].Name != a.name {
				t.Errorf("%s.%s is not in the view", path, a.name)
			}
		}
		for _, in := range schema.inner {
			found := false
			for _, b := range v.Blocks {
				if b.Kind == in.kind {
					found = true
					hold(path+"."+in.kind, in, b)
				}
			}
			if !found && in.label == "" && !in.many {
				t.Errorf("%s.%s is not in the view", path, in.kind)
			}
		}
	}
	for _, sample := range samples {
		archive, err := txtar.ParseFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		dir, lab := unpack(t, archive)
		l := Load(dir, Options{Lab: lab, Version: "0.4.0"})
		for _, v := range l.Views() {
			hold(v.Kind, grammar().blocks[v.Kind], v)
		}
	}
	var walk func(path string, s *blockSchema)
	walk = func(path string, s *blockSchema) {
		if !seen[path] {
			t.Errorf("no sample has a %s", path)
		}
		for _, in := range s.inner {
			walk(path+"."+in.kind, in)
		}
	}
	for _, s := range grammar().inner {
		walk(s.kind, s)
	}
}

func TestViews(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "nixmesh.hcl", base)
	write(t, dir, "web.hcl", `service "web" {
  on      = ["@app"]
  package = "web"
  exec    = "bin/web $PORT"
  env     = { PEER = host.app2.address }
  listen "http" {}
  check {
    http  = "/healthz"
    every = "1s"
  }
}
`)
	l := Load(dir, Options{})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	views := l.Views()
	var kinds []string
	for _, v := range views {
		kinds = append(kinds, v.Kind+" "+v.Label)
	}
	if diff := cmp.Diff([]string{"fleet shop", "operator anna", "host app1", "host app2", "service web"}, kinds); diff != "" {
		t.Error(diff)
	}
	web := views[4]
	args := map[string]ViewArg{}
	for _, a := range web.Args {
		args[a.Name] = a
	}
	for name, want := range map[string]ViewArg{
		"on":       {Name: "on", Type: "[sel]", Value: []any{"@app"}, Place: Place{"web.hcl", 2, `service "web"`}},
		"env":      {Name: "env", Type: "{text}", Value: map[string]any{"PEER": "10.0.0.22"}, Place: Place{"web.hcl", 5, `service "web"`}},
		"restart":  {Name: "restart", Type: "text", Value: "always"},
		"jit":      {Name: "jit", Type: "bool", Value: true},
		"schedule": {Name: "schedule", Type: "text"},
		"split":    {Name: "split", Type: "{pct}", Absent: "all to the first version"},
	} {
		got := args[name]
		if name == "restart" {
			got.Type = "text" // a choice, whose words are the reference's
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(name, diff)
		}
	}
	inner := map[string]*View{}
	for _, v := range web.Blocks {
		inner[v.Kind] = v
	}
	if v := inner["check"]; v.Place.Line != 7 || !v.Listed || v.Off || v.Args[6].Value != "1s" || v.Args[6].Place.Line != 9 {
		t.Errorf("check: %+v", v)
	}
	if v := inner["canary"]; !v.Off || v.Place.Line != 0 {
		t.Errorf("canary: %+v", v)
	}
	if v := inner["limits"]; v.Off || v.Listed || v.Args[3].Value != int64(65536) || v.Args[3].Written() {
		t.Errorf("limits: %+v", v)
	}
	if inner["upstream"] != nil || inner["route"] != nil {
		t.Error("a block with a label is shown that nobody wrote")
	}
	if err := os.Remove(filepath.Join(dir, "nixmesh.hcl")); err != nil {
		t.Fatal(err)
	}
	if views := Load(dir, Options{}).Views(); views != nil {
		t.Errorf("no fleet has %v", views)
	}
}
