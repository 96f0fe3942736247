package compile_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// compileMesh loads a fleet's folder and compiles its mesh configuration.
func compileMesh(t testing.TB, dir string) (*mesh.Config, error) {
	t.Helper()
	loaded := spec.Load(dir, spec.Options{Version: testOptions().NixmeshVersion})
	if loaded.Fleet == nil || loaded.Diagnostics.HasErrors() {
		var b bytes.Buffer
		loaded.Diagnostics.Render(&b, loaded.Files, false)
		t.Fatal(b.String())
	}
	lock, diagnostics := spec.ReadLock(dir)
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	return compile.Mesh(loaded.Fleet, lock, nil)
}

// meshText is a configuration as a golden holds it: canonical, but for people.
// It has to come back from Parse as it is.
func meshText(t *testing.T, c *mesh.Config, err error) string {
	t.Helper()
	if err != nil {
		return err.Error() + "\n"
	}
	text := c.Canonical()
	if _, err := mesh.Parse(text); err != nil {
		t.Error(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		t.Fatal(err)
	}
	return b.String() + "\n"
}

// TestMesh compares the mesh configuration of the fleet in each archive with
// its want/mesh.json, and with that of the same fleet from files in another
// order: want/ aside, an archive's further files hold the same blocks.
func TestMesh(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/mesh/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d archives, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := compileMesh(t, extract(t, archive))
			got := meshText(t, c, err)
			want := &archive.Files[len(archive.Files)-1]
			if want.Name != "want/mesh.json" {
				t.Fatalf("the last file is %s", want.Name)
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				if !*update {
					t.Errorf("(-want +got; run with -update to accept):\n%s", diff)
				}
				want.Data = []byte(got)
				write(t, file, txtar.Format(archive), 0o644)
			}
		})
	}
}

// The configuration of the reference fleet, and what the reference says of it.
func TestMeshOfShop(t *testing.T) {
	t.Parallel()
	const file = "testdata/mesh/shop.json"
	c, err := compileMesh(t, "../hosts/shop")
	got := meshText(t, c, err)
	if *update {
		write(t, file, []byte(got), 0o644)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("(-want +got; run with -update to accept):\n%s", diff)
	}
	if diff := cmp.Diff(c.Edges["api"]["postgres"], c.Edges["public"]["web"]); diff != "" {
		t.Errorf("a gateway calls unlike an upstream without arguments (-upstream +gateway):\n%s", diff)
	}
	var edges []string
	for caller, to := range c.Edges {
		for name := range to {
			edges = append(edges, caller+"→"+name)
		}
	}
	allowed := []string{"public→web", "public→api", "web→redis", "web→api", "api→postgres", "api→redis", "api→stripe", "worker→api", "worker→postgres", "worker→redis"}
	if diff := cmp.Diff(slices.Sorted(slices.Values(allowed)), slices.Sorted(slices.Values(edges))); diff != "" {
		t.Errorf("edges (-want +got):\n%s", diff)
	}
}

// TestMeshOfFilesInAnotherOrder splits a fleet's blocks over files, the last
// one first.
func TestMeshOfFilesInAnotherOrder(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/mesh/full.txtar")
	if err != nil {
		t.Fatal(err)
	}
	whole, err := compileMesh(t, extract(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.SplitAfter(string(archive.Files[0].Data), "\n}\n")
	dir := extract(t, archive)
	if err := os.Remove(filepath.Join(dir, "nixmesh.hcl")); err != nil {
		t.Fatal(err)
	}
	for i, block := range blocks {
		name := "nixmesh.hcl"
		if !strings.Contains(block, "fleet \"") {
			name = "part" + string(rune('z'-i%26)) + strings.Repeat("x", i/26) + ".hcl"
		}
		write(t, filepath.Join(dir, name), []byte(block), 0o644)
	}
	parted, err := compileMesh(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(whole.Canonical()), string(parted.Canonical())); diff != "" {
		t.Error(diff)
	}
}

// A comment, or a line that moves, is no new configuration.
func TestMeshKnowsNoPlaces(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/mesh/full.txtar")
	if err != nil {
		t.Fatal(err)
	}
	before, err := compileMesh(t, extract(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	archive.Files[0].Data = append([]byte("# A comment.\n\n"), archive.Files[0].Data...)
	after, err := compileMesh(t, extract(t, archive))
	if err != nil {
		t.Fatal(err)
	}
	if before.Hash() != after.Hash() {
		t.Error("a comment made a new configuration")
	}
}
