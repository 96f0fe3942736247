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
		fleet, host, file, old, replacement string
		want                                []string
	}{
		"unknown option": {
			"shop", "db1", "nixmesh.hcl", "enable = true", "enabel = true",
			[]string{"The option `services.postgresql.enabel' does not exist", "In `nixmesh.hcl:46 (service \"postgres\")': true"},
		},
		"wrong type": {
			"shop", "db1", "nixmesh.hcl", "enable = true", `enable = "yes"`,
			[]string{"`services.postgresql.enable' is not of type", "In `nixmesh.hcl:46 (service \"postgres\")': \"yes\""},
		},
		"conflict with a file of the fleet": {
			"shop", "app1", "hosts/base.nix", "{", "{\n  networking.hostName = \"other\";",
			[]string{"`networking.hostName' has conflicting definition values", "In `nixmesh.hcl:16 (host \"app1\")': \"app1\"", "/hosts/base.nix': \"other\""},
		},
		"conflict with what a module makes of a service": {
			"shop", "app1", "hosts/base.nix", "{", "{\n  systemd.services.web.serviceConfig.ExecStart = \"/bin/web\";",
			[]string{"serviceConfig.ExecStart' has conflicting definition values", "In `nixmesh.hcl:28 (service \"web\")'"},
		},
		"missing package": {
			"shop", "app1", "nixmesh.hcl", `"shop-web"`, `"shop-wbe"`,
			[]string{`nixmesh.hcl:30 (service "web"): package "shop-wbe" is not in nixpkgs (`, "define it in packages.nix, or name a flake's as \"INPUT#shop-wbe\""},
		},
		"unit that no module makes": {
			"shop", "db1", "nixmesh.hcl", "postgresql.service", "postgres.service",
			[]string{`nixmesh.hcl:43 (service "postgres"): no NixOS module of this host makes postgres.service`},
		},
		"unit without a fixed user": {
			"shop", "db1", "hosts/base.nix", "{", "{\n  systemd.services.postgresql.serviceConfig.DynamicUser = true;",
			[]string{`nixmesh.hcl:43 (service "postgres"): postgresql.service runs as a user that systemd makes up`, `add user = "postgres"`},
		},
		"no ed25519 host key": {
			"shop", "app1", "hosts/base.nix", "{", "{\n  services.openssh.hostKeys = [ { type = \"rsa\"; bits = 4096; path = \"/etc/ssh/ssh_host_rsa_key\"; } ];",
			[]string{`nixmesh.hcl:16 (host "app1"): nixmesh pins ed25519 host keys only`},
		},
		"a host that upgrades itself": {
			"shop", "app1", "hosts/base.nix", "{", "{\n  system.autoUpgrade.enable = true;",
			[]string{`nixmesh.hcl:16 (host "app1"): system.autoUpgrade would switch this host behind nixmesh's back`},
		},
		"sudo for wheel alone": {
			"shop", "app1", "hosts/base.nix", "{", "{\n  security.sudo.execWheelOnly = true;",
			[]string{`nixmesh.hcl:16 (host "app1"): security.sudo.execWheelOnly keeps sudo from deploy`},
		},
		"a Nix that deploy may not speak to": {
			"shop", "app1", "hosts/base.nix", "{", "{\n  nix.settings.allowed-users = [ \"@staff\" ];",
			[]string{`nixmesh.hcl:16 (host "app1"): nix.settings.allowed-users leaves out deploy, so no later deploy could copy to this host`},
		},
		"a caller without a fixed uid": {
			"shop", "db1", "nixmesh.hcl", `imports = ["./services/cache.nix"]`, "imports = [\"./services/cache.nix\"]\n  upstream \"postgres\" {}",
			[]string{`nixmesh.hcl:61 (service "cache"): cache@main.service runs as cache, whose uid no module fixes, so nobody can tell its calls to postgres from others'; add user = "cache"`},
		},
		"callers without a user of their own": {
			"language", "db1", "nixmesh.hcl", "  user        = \"metrics\"\n", "\n",
			[]string{
				`nixmesh.hcl:102 (service "metrics"): metrics-a.service runs as a user that systemd makes up at each start (DynamicUser), so nobody can tell its calls to api from others'; add user = "metrics"`,
				`nixmesh.hcl:102 (service "metrics"): metrics@b.service runs as root, so nobody can tell its calls to api from others'; add user = "metrics"`,
			},
		},
		"a unit with a secret that is only reloaded": {
			"shop", "db1", "nixmesh.hcl", "nixos = { ", "secrets = { KEY = { path = \"/run/keys/pg\" } }\n  nixos = { \"systemd.services.postgresql.reloadIfChanged\" = true, ",
			[]string{`nixmesh.hcl:43 (service "postgres"): postgresql.service is reloaded where it changed (reloadIfChanged), and reads a changed secret only when it starts`},
		},
		"a template of a service's name": {
			"language", "app1", "hosts/base.nix", "{", "{\n  systemd.services.\"api@\".serviceConfig.ExecStart = \"/bin/other %i\";",
			[]string{`nixmesh.hcl:40 (service "api"): another module makes api@.service, and systemd would take that for api@v1.service once this is gone; give the service another name`},
		},
		"a limit that the unit's module sets, too": {
			"language", "db1", "services/metrics.nix", "DynamicUser = true;", "DynamicUser = true;\n    MemoryMax = \"1G\";",
			[]string{"serviceConfig.MemoryMax' has conflicting definition values", "In `nixmesh.hcl:94 (service \"metrics\")': \"67108864\"", "/services/metrics.nix': \"1G\""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile("testdata/eval/" + test.fleet + ".txtar")
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
