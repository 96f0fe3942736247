package compile_test

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestNixNamesTheHCL provokes Nix's own errors, and ours in assertions and
// throws, and reads the line of the HCL in what Nix prints.
func TestNixNamesTheHCL(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		host, file, old, replacement string
		want                         []string
	}{
		"unknown option": {
			"db1", "nixmesh.hcl", "enable = true", "enabel = true",
			[]string{"The option `services.postgresql.enabel' does not exist", "In `nixmesh.hcl:46 (service \"postgres\")': true"},
		},
		"wrong type": {
			"db1", "nixmesh.hcl", "enable = true", `enable = "yes"`,
			[]string{"`services.postgresql.enable' is not of type", "In `nixmesh.hcl:46 (service \"postgres\")': \"yes\""},
		},
		"conflict with a file of the fleet": {
			"app1", "hosts/base.nix", "{", "{\n  networking.hostName = \"other\";",
			[]string{"`networking.hostName' has conflicting definition values", "In `nixmesh.hcl:16 (host \"app1\")': \"app1\"", "/hosts/base.nix': \"other\""},
		},
		"conflict with what a module makes of a service": {
			"app1", "hosts/base.nix", "{", "{\n  systemd.services.web.serviceConfig.ExecStart = \"/bin/web\";",
			[]string{"serviceConfig.ExecStart' has conflicting definition values", "In `nixmesh.hcl:28 (service \"web\")'"},
		},
		"missing package": {
			"app1", "nixmesh.hcl", `"shop-web"`, `"shop-wbe"`,
			[]string{`nixmesh.hcl:30 (service "web"): package "shop-wbe" is not in nixpkgs (`, "define it in packages.nix, or name a flake's as \"INPUT#shop-wbe\""},
		},
		"unit that no module makes": {
			"db1", "nixmesh.hcl", "postgresql.service", "postgres.service",
			[]string{`nixmesh.hcl:43 (service "postgres"): no NixOS module of this host makes postgres.service`},
		},
		"unit without a fixed user": {
			"db1", "hosts/base.nix", "{", "{\n  systemd.services.postgresql.serviceConfig.DynamicUser = true;",
			[]string{`nixmesh.hcl:43 (service "postgres"): postgresql.service runs as a user that systemd makes up`, `add user = "postgres"`},
		},
		"no ed25519 host key": {
			"app1", "hosts/base.nix", "{", "{\n  services.openssh.hostKeys = [ { type = \"rsa\"; bits = 4096; path = \"/etc/ssh/ssh_host_rsa_key\"; } ];",
			[]string{`nixmesh.hcl:16 (host "app1"): nixmesh pins ed25519 host keys only`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile("testdata/eval/shop.txtar")
			if err != nil {
				t.Fatal(err)
			}
			w := newWorkspace(t, extract(t, archive))
			w.edit(t, test.file, test.old, test.replacement)
			w.compile(t)
			_, err = w.eval(t, test.host, "system.build.toplevel.drvPath")
			if err == nil {
				t.Fatal("it evaluates")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Nix does not say %s:\n%s", want, err)
				}
			}
		})
	}
}
