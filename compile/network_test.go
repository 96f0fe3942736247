package compile_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// firewallPart is where each kind of want/HOST.KIND stands in a host's
// configuration.
var firewallPart = map[string]struct{ attr, apply string }{
	".nft":      {"networking.firewall.extraInputRules", "text: text"},
	".iptables": {"networking.firewall.extraCommands", "text: text"},
	".open":     {"networking.firewall", `f: let s = builtins.sort builtins.lessThan; in "tcp ${toString (s f.allowedTCPPorts)}\nudp ${toString (s f.allowedUDPPorts)}"`},
}

// TestFirewall compares what is open on hosts with and without each of the two
// firewalls, and has nft read its rules.
func TestFirewall(t *testing.T) {
	t.Parallel()
	const file = "testdata/eval/network/network.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, extract(t, archive))
	w.compile(t)
	changed := false
	for i := range archive.Files {
		f := &archive.Files[i]
		name, wanted := strings.CutPrefix(f.Name, "want/")
		if !wanted {
			continue
		}
		part := firewallPart[filepath.Ext(name)]
		host := strings.TrimSuffix(name, filepath.Ext(name))
		got, err := w.nix.run(t, "eval", "--raw", "path:"+w.build+"#nixosConfigurations."+host+".config."+part.attr, "--apply", part.apply)
		if err != nil {
			t.Fatal(err)
		}
		if got != "" {
			got += "\n"
		}
		if diff := cmp.Diff(string(f.Data), got); diff != "" {
			if !*update {
				t.Errorf("%s (-want +got; run with -update to accept):\n%s", f.Name, diff)
			}
			f.Data, changed = []byte(got), true
		}
		if filepath.Ext(name) == ".nft" {
			w.checkRules(t, got)
		}
	}
	if *update && changed {
		write(t, file, txtar.Format(archive), 0o644)
	}
}

// checkRules lets nft read rules of an input chain, in a network of its own.
func (w *workspace) checkRules(t *testing.T, rules string) {
	t.Helper()
	cmd := w.nix(t.Context(), nil, "unshare", "-n", "nft", "--check", "--file", "-")
	cmd.Stdin = strings.NewReader("table inet test {\nchain input {\ntype filter hook input priority filter\n" + rules + "}\n}\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nft refuses the rules: %v\n%s\n%s", err, out, rules)
	}
}

// A host knows the names of what runs on it and of what it may call: a
// service elsewhere changes nothing of it.
func TestAServiceElsewhereChangesNoToplevel(t *testing.T) {
	t.Parallel()
	archive, err := txtar.ParseFile("testdata/eval/network/network.txtar")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, extract(t, archive))
	w.compile(t)
	toplevel := func(host string) string {
		drv, err := w.eval(t, host, "system.build.toplevel.drvPath")
		if err != nil {
			t.Fatal(err)
		}
		return drv
	}
	hosts, err := w.eval(t, "app1", `environment.etc.hosts.text`)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"127.64.0.1 postgres.mesh", "127.64.0.2 web.mesh"} {
		if !strings.Contains(hosts, line) {
			t.Errorf("app1 does not know %s:\n%s", line, hosts)
		}
	}
	before := map[string]string{"app1": toplevel("app1"), "db1": toplevel("db1"), "edge1": toplevel("edge1")}
	w.edit(t, "nixmesh.hcl", `service "postgres" {`, `service "zebra" {
  on      = ["edge1"]
  package = "shop-web"
  exec    = "bin/web"
  listen "http" {}
  check { tcp = true }
}

service "postgres" {`)
	w.compile(t)
	for host, drv := range before {
		if after := toplevel(host); (after == drv) != (host != "edge1") {
			t.Errorf("%s: toplevel was %s, is %s", host, drv, after)
		}
	}
}
