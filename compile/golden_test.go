package compile_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/spec"
)

var update = flag.Bool("update", false, "rewrite the want/ files of testdata/*.txtar")

// TestGolden compiles the fleet in each archive and compares what it has below
// want/: flake.nix, HOST.nix, HOST.key.nix, HOST.roots or error. A line
// "lab", "ca", "answers EXTERNAL…", "nixpkgs REF" in the archive's comment sets an option.
func TestGolden(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
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
			got := texts(compileFleet(t, extract(t, archive), optionsOf(archive)))
			changed := false
			for i := range archive.Files {
				f := &archive.Files[i]
				name, wanted := strings.CutPrefix(f.Name, "want/")
				if !wanted {
					continue
				}
				if diff := cmp.Diff(string(f.Data), got[name]); diff != "" {
					if !*update {
						t.Errorf("%s (-want +got; run with -update to accept):\n%s", name, diff)
					}
					f.Data, changed = []byte(got[name]), true
				}
			}
			if *update && changed {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// result is a compiled fleet, or why it is none.
type result struct {
	output *compile.Output
	err    error
}

// texts are the files of a result, as want/ names them.
func texts(r result) map[string]string {
	if r.err != nil {
		return map[string]string{"error": r.err.Error() + "\n"}
	}
	m := map[string]string{"flake.nix": string(r.output.Flake)}
	for _, h := range r.output.Hosts {
		m[h.Name+".nix"] = string(h.Module)
		m[h.Name+".key.nix"] = string(h.KeyModule)
		m[h.Name+".roots"] = strings.Join(append(h.Roots, ""), "\n")
	}
	return m
}

// testOptions stand for a folder that the goldens only name.
func testOptions() compile.Options {
	return compile.Options{
		NixmeshVersion: "0.3.1",
		NixmeshDir:     "/home/anna/shop/.nixmesh/nixmesh",
		NixmeshNarHash: "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	}
}

// testCA stands for a CA of which the goldens only name the roots.
func testCA() *compile.CA {
	return &compile.CA{Roots: "-----BEGIN CERTIFICATE-----\nroot of the shop\n-----END CERTIFICATE-----\n", Gossip: spec.GossipFile}
}

func optionsOf(archive *txtar.Archive) compile.Options {
	o := testOptions()
	for line := range bytes.Lines(archive.Comment) {
		switch word, rest, _ := strings.Cut(strings.TrimSpace(string(line)), " "); word {
		case "lab":
			o.Lab = true
		case "ca":
			o.CA = testCA()
		case "answers":
			o.LabAnswers = strings.Fields(rest)
		case "nixpkgs":
			o.Nixpkgs = rest
		}
	}
	return o
}

// extract writes an archive's fleet to a folder.
func extract(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want/") {
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
	return dir
}

// compileFleet loads a fleet's folder, allocates what its lock lacks unless
// the folder says "frozen", and compiles it.
func compileFleet(t *testing.T, dir string, o compile.Options) result {
	t.Helper()
	loaded := spec.Load(dir, spec.Options{Version: o.NixmeshVersion, Lab: o.Lab})
	if loaded.Fleet == nil {
		var b bytes.Buffer
		loaded.Diagnostics.Render(&b, loaded.Files, false)
		t.Fatal(b.String())
	}
	lock, diagnostics := spec.ReadLock(dir)
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	if _, err := os.Stat(filepath.Join(dir, "frozen")); err != nil {
		if _, d := lock.Allocate(loaded.Fleet); d.HasErrors() {
			t.Fatal(d)
		}
	}
	output, err := compile.Compile(loaded.Fleet, lock, o)
	return result{output, err}
}
