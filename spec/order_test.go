package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestFilesInAnotherOrder: order and file do not matter. Each outermost block of the
// samples gets a file of its own, the last one first.
func TestFilesInAnotherOrder(t *testing.T) {
	samples, err := filepath.Glob("testdata/check/valid*.txtar")
	if err != nil || len(samples) == 0 {
		t.Fatal(err)
	}
	for _, sample := range samples {
		archive, err := txtar.ParseFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		whole, _ := unpack(t, archive)
		parted, _ := unpack(t, archive)
		for _, name := range []string{"nixmesh.hcl", "in.hcl"} {
			text, err := os.ReadFile(filepath.Join(parted, name))
			if err != nil {
				continue
			}
			write(t, parted, name, "")
			blocks := strings.SplitAfter(string(text), "\n}\n")
			for i, block := range blocks {
				write(t, parted, strings.Repeat("z", len(blocks)-i)+name, block)
			}
		}
		a, b := Load(whole, Options{Version: "0.4.0"}), Load(parted, Options{Version: "0.4.0"})
		if a.Fleet == nil || b.Fleet == nil {
			t.Fatal(sample, a.Diagnostics, b.Diagnostics)
		}
		b.Fleet.Dir = whole
		for name, ref := range b.Fleet.Inputs {
			b.Fleet.Inputs[name] = strings.Replace(ref, parted, whole, 1)
		}
		anywhere := cmp.Comparer(func(Place, Place) bool { return true })
		if diff := cmp.Diff(a.Fleet, b.Fleet, anywhere); diff != "" {
			t.Errorf("%s (-whole +parted):\n%s", sample, diff)
		}
	}
}
