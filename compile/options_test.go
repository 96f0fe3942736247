package compile_test

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// forced evaluates every submodule, which is when an option that none of them
// declares is refused.
const forced = `c: builtins.deepSeq (map (kind: builtins.mapAttrs (_: builtins.attrNames) c.${kind})
	[ "instances" "checks" "edges" "openings" "operators" ]) "declared"`

// TestEveryOptionIsDeclared evaluates what the goldens show, none of which is
// an option that the modules do not have.
func TestEveryOptionIsDeclared(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"versions", "calls", "checks", "rollout", "package", "unit", "unit-user"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
			if err != nil {
				t.Fatal(err)
			}
			w := newWorkspace(t, extract(t, archive))
			for _, host := range w.compile(t) {
				if _, err := w.nix.run(t, "eval", "--raw", "path:"+w.build+"#nixosConfigurations."+host+".config.services.nixmesh", "--apply", forced); err != nil {
					t.Errorf("%s: %v", host, err)
				}
			}
		})
	}
}
