package compile_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nixmesh/nixmesh/hostfacts"
)

const hostJSON = `environment.etc."nixmesh/host.json".text`

var storeHash = regexp.MustCompile(`/nix/store/[0-9a-z]{32}-`)

// TestHostJSON evaluates the fleets of testdata/eval with real Nix, and
// compares each want/HOST.json; hashes of store paths are left out.
func TestHostJSON(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/eval/*.txtar")
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
			w := newWorkspace(t, extract(t, archive))
			w.compile(t)
			changed := false
			for i := range archive.Files {
				f := &archive.Files[i]
				host, wanted := strings.CutPrefix(strings.TrimSuffix(f.Name, ".json"), "want/")
				if !wanted {
					continue
				}
				text, err := w.eval(t, host, hostJSON)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := hostfacts.Parse([]byte(text)); err != nil {
					t.Errorf("the host refuses its own facts: %v", err)
				}
				got := readable(t, text)
				if diff := cmp.Diff(string(f.Data), got); diff != "" {
					if !*update {
						t.Errorf("%s (-want +got; run with -update to accept):\n%s", f.Name, diff)
					}
					f.Data, changed = []byte(got), true
				}
			}
			if *update && changed {
				write(t, file, txtar.Format(archive), 0o644)
			}
		})
	}
}

// readable is JSON with a line for each value, and without what differs
// between two package sets: store hashes, the rest of PATH, and the variables
// that some of them give every unit. The unit of PostgreSQL, whose package and
// settings are the package set's, is judged by its user alone.
func readable(t *testing.T, text string) string {
	t.Helper()
	var facts hostfacts.Facts
	if err := json.Unmarshal([]byte(storeHash.ReplaceAllString(text, "/nix/store/")), &facts); err != nil {
		t.Fatal(err)
	}
	facts.Checks = slices.DeleteFunc(facts.Checks, func(c hostfacts.Check) bool { return c.Service == "postgres" })
	for _, c := range facts.Checks {
		delete(c.Env, "LOCALE_ARCHIVE")
		delete(c.Env, "TZDIR")
		if first, _, more := strings.Cut(c.Env["PATH"], ":"); more {
			c.Env["PATH"] = first + ":…"
		}
	}
	b, err := json.MarshalIndent(facts, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// A comment moves every place; the system that is built stays the same.
func TestACommentChangesNoToplevel(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/eval/language.txtar")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, extract(t, archive))
	w.compile(t)
	before, err := w.eval(t, "app1", "system.build.toplevel.drvPath")
	if err != nil {
		t.Fatal(err)
	}
	w.edit(t, "nixmesh.hcl", "fleet", "# a comment\nfleet")
	w.compile(t)
	module, err := os.ReadFile(filepath.Join(w.build, "hosts/app1/host.nix"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(module), `nixmesh.hcl:41 (service \"api\")`) {
		t.Errorf("the module's places did not move:\n%s", module)
	}
	after, err := w.eval(t, "app1", "system.build.toplevel.drvPath")
	if err != nil {
		t.Fatal(err)
	}
	if before != after {
		t.Errorf("toplevel was %s, is %s", before, after)
	}
}
