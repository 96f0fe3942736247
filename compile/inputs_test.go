package compile_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// TestInputs evaluates what comes from other flakes: a package, a module, and
// a whole configuration that a host extends.
func TestInputs(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/eval/inputs/inputs.txtar")
	if err != nil {
		t.Fatal(err)
	}
	fleet := extract(t, archive)
	w := newWorkspace(t, fleet)
	nixpkgs := os.Getenv("NIXMESH_NIXPKGS")
	if nixpkgs == "" {
		standIn, err := filepath.Abs("../lab/nixpkgs")
		if err != nil {
			t.Fatal(err)
		}
		nixpkgs = "path:" + standIn
	}
	w.edit(t, "infra/flake.nix", "NIXPKGS", nixpkgs)
	w.edit(t, "nixmesh.hcl", "INFRA", "path:"+filepath.Join(fleet, "infra"))
	w.compile(t)

	text, err := w.eval(t, "edge1", hostJSON)
	if err != nil {
		t.Fatal(err)
	}
	var facts hostfacts.Facts
	if err := json.Unmarshal([]byte(text), &facts); err != nil {
		t.Fatal(err)
	}
	programs := map[string]string{}
	for _, c := range facts.Checks {
		programs[c.Name] = storeHash.ReplaceAllString(c.Exec[0], "")
	}
	want := map[string]string{"web": "infra-web/bin/ping", "tool": "edge-tool/bin/ping", "router": "infra-web/bin/ping"}
	if diff := cmp.Diff(want, programs); diff != "" {
		t.Errorf("programs of the checks (-want +got):\n%s", diff)
	}
	for attr, want := range map[string]string{
		"networking.domain":             "of-the-fleet",
		`environment.etc."motd".text`:   "of the module",
		"networking.hostName":           "edge1",
		"users.users.nm-web.group":      "nm-web",
		`environment.etc."origin".text`: "overlay of the configuration",
	} {
		if got, err := w.eval(t, "edge1", attr); err != nil || got != want {
			t.Errorf("%s is %q, %v, want %q", attr, got, err, want)
		}
	}

	// The configuration's own settings are held to the same rules.
	w.edit(t, "infra/flake.nix", "networking.domain", "system.autoUpgrade.enable = true;\n          networking.domain")
	if err := os.Remove(filepath.Join(w.build, "flake.lock")); err != nil {
		t.Fatal(err)
	}
	_, err = w.eval(t, "edge1", "system.build.toplevel.drvPath")
	if want := `nixmesh.hcl:11 (host "edge1"): system.autoUpgrade would switch this host`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Nix does not say %s: %v", want, err)
	}

	w.edit(t, "nixmesh.hcl", "nixosModules.motd", "nixosModules.mtod")
	w.compile(t)
	_, err = w.eval(t, "edge1", hostJSON)
	if want := `nixmesh.hcl:18 (service "web"): flake "infra" has no nixosModules.mtod; see what it has with`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("Nix does not say %s: %v", want, err)
	}
}
