package deploy

import "testing"

// A command that is advised for a lab has to act on the lab.
func TestTyped(t *testing.T) {
	for advice, want := range map[string]string{
		"nixmesh deploy --first a --as USER":                           "nixmesh --lab deploy --first a --as USER",
		"nixmesh release list, then nixmesh rollback --to N":           "nixmesh --lab release list, then nixmesh --lab rollback --to N",
		"a host without nixmesh is first reached with: nixmesh deploy": "a host without nixmesh is first reached with: nixmesh --lab deploy",
		"nixmesh lab up":                          "nixmesh lab up",
		"choose another one in nixmesh.lock":      "choose another one in nixmesh.lock",
		"nixmesh --lab status":                    "nixmesh --lab status",
		"compare the addresses in nixmesh.hcl:10": "compare the addresses in nixmesh.hcl:10",
	} {
		if got := Typed(true, advice); got != want {
			t.Errorf("in the lab %q becomes %q, want %q", advice, got, want)
		}
		if got := Typed(false, advice); got != advice {
			t.Errorf("outside %q becomes %q", advice, got)
		}
	}
}
