package compile_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// edit is one replacement in a file of a fleet.
type edit struct{ file, old, replacement string }

// TestBesideOtherModules evaluates fleets whose own NixOS configuration says
// something about what nixmesh generates, too, or has what it adds to.
func TestBesideOtherModules(t *testing.T) {
	t.Parallel()
	base := func(nix string) edit { return edit{"hosts/base.nix", "{", "{\n" + nix} }
	for name, test := range map[string]struct {
		host  string
		edits []edit
		attr  string
		apply string // of Nix, over the attribute's value
		want  any
	}{
		"a service's own PATH": {
			"app1",
			[]edit{{"nixmesh.hcl", "restart = \"never\"", "restart = \"never\"\n  env     = { PATH = \"/run/wrappers/bin\" }"}},
			"systemd.services.once.environment", `e: e.PATH`,
			"/run/wrappers/bin",
		},
		// A drop-in with the usual PATH would take the template's programs away.
		"the PATH of a template": {
			"db1",
			[]edit{{"services/metrics.nix", `"metrics@".serviceConfig`, `"metrics@".environment.PATH = lib.mkForce "/opt/bin"; systemd.services."metrics@".serviceConfig`},
				{"services/metrics.nix", "{", "{ lib, ... }: {"}},
			"systemd.services", `s: { instance = s."metrics@b".environment.PATH; template = s."metrics@".environment.PATH; }`,
			map[string]any{"instance": nil, "template": "/opt/bin"},
		},
		"an operators' user that is a person": {
			"app1",
			[]edit{base(`users.users.deploy = { isNormalUser = true; extraGroups = [ "wheel" ]; };`)},
			"users.users.deploy", `u: { inherit (u) isNormalUser isSystemUser group home; keys = builtins.length u.openssh.authorizedKeys.keys; }`,
			map[string]any{"isNormalUser": true, "isSystemUser": false, "group": "users", "home": "/home/deploy", "keys": 1.0},
		},
		"a unit's user that is a person": {
			"db1",
			[]edit{base(`users.users.metrics.isNormalUser = true;`)},
			"users.users.metrics", `u: { inherit (u) isNormalUser isSystemUser group; fixed = u.uid != null; }`,
			map[string]any{"isNormalUser": true, "isSystemUser": false, "group": "users", "fixed": true},
		},
		"a unit of systemd.packages": {
			"db1",
			[]edit{{"services/metrics.nix", "metrics-a.serviceConfig = {\n    ExecStart = \"/bin/metrics\";\n    DynamicUser = true;\n  }", `metrics-a.wantedBy = [ "multi-user.target" ]`}},
			"system.build.toplevel", `t: builtins.seq t.drvPath "evaluates"`,
			"evaluates",
		},
		"defaults of a profile": {
			"app1",
			[]edit{{"hosts/base.nix", "{", `{ lib, ... }: {
				boot.loader.grub.configurationLimit = lib.mkDefault 5;
				boot.loader.systemd-boot.configurationLimit = lib.mkDefault 5;
				boot.kernel.sysctl."kernel.panic" = lib.mkDefault 30;
				systemd.settings.Manager.RuntimeWatchdogSec = lib.mkDefault "15s";
				services.openssh.openFirewall = lib.mkDefault false;
			`}},
			"", `c: { grub = c.boot.loader.grub.configurationLimit; systemd = c.boot.loader.systemd-boot.configurationLimit;
				panic = toString c.boot.kernel.sysctl."kernel.panic"; watchdog = c.systemd.settings.Manager.RuntimeWatchdogSec; open = c.services.openssh.openFirewall; }`,
			map[string]any{"grub": 5.0, "systemd": 5.0, "panic": "30", "watchdog": "15s", "open": false},
		},
		"a host key as a path of Nix": {
			"app1",
			[]edit{base(`services.openssh.hostKeys = [ { type = "ed25519"; path = /persist/ssh/key; } ];`)},
			"services.nixmesh", `n: n.hostKey`,
			"/persist/ssh/key",
		},
		"AllowUsers with a pattern for the operators' user": {
			"app1",
			[]edit{base(`services.openssh.settings.AllowUsers = [ "root" "deploy@10.0.0.*" ];`)},
			"system.build.toplevel", `t: builtins.seq t.drvPath "evaluates"`,
			"evaluates",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile("testdata/eval/language.txtar")
			if err != nil {
				t.Fatal(err)
			}
			w := newWorkspace(t, extract(t, archive))
			for _, e := range test.edits {
				w.edit(t, e.file, e.old, e.replacement)
			}
			w.compile(t)
			text, err := w.nix.run(t, "eval", "--json", "path:"+w.build+"#nixosConfigurations."+test.host+strings.TrimSuffix(".config."+test.attr, "."), "--apply", test.apply)
			if err != nil {
				t.Fatal(err)
			}
			var got any
			if err := json.Unmarshal([]byte(text), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.attr, diff)
			}
		})
	}
}

// An instance of a template runs as what the template says where its own
// drop-in says nothing.
func TestAnInstanceIsWhatItsTemplateIs(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/eval/language.txtar")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, extract(t, archive))
	w.edit(t, "nixmesh.hcl", "  user        = \"metrics\"\n", "\n")
	w.edit(t, "services/metrics.nix", "DynamicUser = true;", `User = "postgres";`)
	w.edit(t, "services/metrics.nix", `"metrics@".serviceConfig`, `"metrics@".environment.MODE = "all"; systemd.services."metrics@".serviceConfig.User = "postgres"; systemd.services."metrics@".serviceConfig.PrivateTmp = true; systemd.services."metrics@".serviceConfig`)
	w.compile(t)
	text, err := w.eval(t, "db1", hostJSON)
	if err != nil {
		t.Fatal(err)
	}
	var facts struct {
		Checks []struct {
			Unit, User string
			UID        int
			Env        map[string]string
			Sandbox    []string
		}
	}
	if err := json.Unmarshal([]byte(text), &facts); err != nil {
		t.Fatal(err)
	}
	for _, c := range facts.Checks {
		if c.Unit != "metrics@b.service" {
			continue
		}
		if c.User != "postgres" || c.UID == 0 || c.Env["MODE"] != "all" {
			t.Errorf("its check runs as %s (%d) with %v", c.User, c.UID, c.Env)
		}
		if diff := cmp.Diff([]string{"MemoryDenyWriteExecute=yes", "PrivateTmp=yes"}, c.Sandbox); diff != "" {
			t.Errorf("sandbox (-want +got):\n%s", diff)
		}
		return
	}
	t.Error("there is no such check")
}

// The same fleet in another folder, with a service in a file of its own, is the
// same system.
func TestFoldersAndFilesChangeNoToplevel(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/eval/language.txtar")
	if err != nil {
		t.Fatal(err)
	}
	toplevel := func(w *workspace) string {
		w.compile(t)
		drv, err := w.eval(t, "app1", "system.build.toplevel.drvPath")
		if err != nil {
			t.Fatal(err)
		}
		return drv
	}
	here, there := newWorkspace(t, extract(t, archive)), newWorkspace(t, extract(t, archive))
	text, err := os.ReadFile(filepath.Join(there.fleet, "nixmesh.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(text), "service \"once\"")
	once, after, found := strings.Cut(rest, "\n}\n")
	if !found {
		t.Fatal("there is no service once")
	}
	write(t, filepath.Join(there.fleet, "nixmesh.hcl"), []byte(before+after), 0o644)
	write(t, filepath.Join(there.fleet, "services/a.hcl"), []byte("service \"once\""+once+"\n}\n"), 0o644)
	if a, b := toplevel(here), toplevel(there); a != b {
		t.Errorf("toplevel is %s, and elsewhere %s", a, b)
	}
}
