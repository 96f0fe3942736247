package mesh_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// TestEarlierConfigurations: what an earlier nixmesh wrote is read. A host that gets a
// new agent has nothing else until the next configuration, and one that it could not
// read would leave its Envoy with nobody.
func TestEarlierConfigurations(t *testing.T) {
	files, err := filepath.Glob("testdata/earlier/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		canonical, err := mesh.Canonicalize(text) // they are kept as people read them
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mesh.Parse(canonical); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
