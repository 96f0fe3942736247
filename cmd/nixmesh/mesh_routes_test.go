package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// The routes of the shop, and of a sample that holds the whole language.
func TestMeshRoutes(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, c := range []struct {
		title, dir, service, from string
		wide                      bool
	}{
		{"the shop", "../../hosts/shop", "", "", false},
		{"api of the shop, wide", "../../hosts/shop", "api", "", true},
		{"what web of the shop may call", "../../hosts/shop", "", "web", false},
		{"everything that the language has", sampleDir(t, "../../spec/testdata/check/valid_mesh.txtar"), "", "", true},
	} {
		config := configOf(t, c.dir)
		if err := knownNames(config, c.service, c.from); err != nil {
			t.Fatal(err)
		}
		r := &meshRoutes{Schema: meshRoutesSchema, Fleet: config.Fleet, Document: 42, Host: "app1", Calls: callsOf(config, c.service, c.from)}
		if _, err := json.Marshal(r); err != nil {
			t.Error(err)
		}
		var text bytes.Buffer
		r.write(&text, term.Style{}, c.wide)
		b.WriteString("# " + c.title + "\n" + text.String() + "\n")
	}
	golden := filepath.Join("testdata", "mesh_routes.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

// configOf is the mesh configuration of a fleet.
func configOf(t *testing.T, dir string) *mesh.Config {
	t.Helper()
	l := spec.Load(dir, spec.Options{Version: version})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	s, err := showerOf(l, &spec.Lock{})
	if err != nil {
		t.Fatal(err)
	}
	return s.mesh
}

// Names that the configuration does not have are refused, with those that it has.
func TestMeshRoutesOfNobody(t *testing.T) {
	t.Parallel()
	config := configOf(t, "../../hosts/shop")
	for _, names := range [][2]string{{"apy", ""}, {"", "wep"}, {"", "operator/nobody"}} {
		if err := knownNames(config, names[0], names[1]); exitCode(err) != exitUsage {
			t.Errorf("%q: %v", names, err)
		}
	}
}
