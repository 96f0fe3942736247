package compile_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// TestShop compares the reference fleet's text: the flake, and one host of
// each kind.
func TestShop(t *testing.T) {
	t.Parallel()
	const file = "testdata/shop/want.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := texts(compileFleet(t, "../hosts/shop", testOptions()))
	changed := false
	for i := range archive.Files {
		f := &archive.Files[i]
		name := strings.TrimPrefix(f.Name, "want/")
		if diff := cmp.Diff(string(f.Data), got[name]); diff != "" {
			if !*update {
				t.Errorf("%s (-want +got; run with -update to accept):\n%s", name, diff)
			}
			f.Data, changed = []byte(got[name]), true
		}
	}
	if *update && changed {
		write(t, file, txtar.Format(archive), 0o644)
	}
}
