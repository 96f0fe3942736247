package compile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

func fleetOf(t *testing.T, archive string) string {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", archive))
	if err != nil {
		t.Fatal(err)
	}
	return extract(t, a)
}

func TestEqualSpecsGiveEqualBytes(t *testing.T) {
	t.Parallel()
	first := texts(compileFleet(t, fleetOf(t, "imports.txtar"), testOptions()))
	second := texts(compileFleet(t, fleetOf(t, "imports.txtar"), testOptions()))
	for name, text := range first {
		if text != second[name] {
			t.Errorf("%s differs between two runs", name)
		}
	}
}

// A comment moves every line: the module says so in its places, the key does
// not see it.
func TestACommentChangesNoKey(t *testing.T) {
	t.Parallel()
	dir := fleetOf(t, "package.txtar")
	before := compileFleet(t, dir, testOptions()).output.Hosts[0]
	file := filepath.Join(dir, "nixmesh.hcl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("# The shop's fleet.\n"), text...), 0o644); err != nil {
		t.Fatal(err)
	}
	after := compileFleet(t, dir, testOptions()).output.Hosts[0]
	if !bytes.Equal(before.KeyModule, after.KeyModule) {
		t.Error("the key module changed")
	}
	if bytes.Equal(before.Module, after.Module) {
		t.Error("the module's places did not move")
	}
	if strings.Contains(string(after.KeyModule), ".hcl:") {
		t.Errorf("the key module names a place:\n%s", after.KeyModule)
	}
}
