package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/trust"
)

// mark is in every clear text, and may be nowhere else.
const mark = "e2e-clear-text"

// secretText holds what a careless quoting would change.
const secretText = mark + ` 'é" ` + "`tick`" + `"word $HOME ${PORT} %d \ back` + "\nsecond line"

// readers are two services with secrets of their own: each writes what it was
// given to its folder before it starts, and its check reads it, too.
const readers = `service %[1]q {
  on           = ["*"]
  package      = "reader"
  exec         = "bin/web --listen 127.0.0.1:$PORT"
  before_start = ["bin/read $DATABASE_URL_FILE"]
  secrets      = { DATABASE_URL = "secrets/%[1]s.age", TOKEN = "secrets/token.age", KEY = { path = "/var/lib/keys/e2e" } }
  secret_env   = ["DATABASE_URL", "KEY"]
  harden       = %[2]q

  listen "http" {}
  check { exec = "bin/probe $DATABASE_URL_FILE" }
}`

// secretsOf writes lab.hcl with clear texts of age files.
func (f *fleet) secretsOf(texts map[string]string) {
	var b strings.Builder
	for _, file := range sortedKeys(texts) {
		fmt.Fprintf(&b, "    %q = %s\n", file, strings.NewReplacer("${", "$${", "%{", "%%{").Replace(fmt.Sprintf("%q", texts[file])))
	}
	f.file("lab.hcl", fmt.Sprintf("lab {\n  nixpkgs = %q\n  secrets = {\n%s  }\n}\n", f.nixpkgs, b.String()))
}

// TestSecrets: a service reads what the operator encrypted; a changed secret
// restarts its users alone; one that the host cannot open reverts the deploy;
// none is left behind, or seen by others.
func TestSecrets(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.set("service web", "")
	f.file("packages.nix", `final: prev: {
  web = final.nixmesh-lab-services;
  reader = final.runCommand "reader-1" { } ''
    mkdir -p $out/bin
    cp ${final.nixmesh-lab-services}/bin/web $out/bin/web
    cp ${final.writeScript "read" "#!/bin/sh\nset -e\ncat $1 > $STATE_DIRECTORY/file\ncat $TOKEN_FILE > $STATE_DIRECTORY/token\nprintf %s \"$DATABASE_URL\" > $STATE_DIRECTORY/variable\nprintf %s \"$KEY\" > $STATE_DIRECTORY/key\n"} $out/bin/read
    cp ${final.writeScript "probe" "#!/bin/sh\n[ \"$(cat $1)\" = \"$DATABASE_URL\" ] && [ $1 = $CREDENTIALS_DIRECTORY/DATABASE_URL ]\n"} $out/bin/probe
  '';
}
`)
	f.set("service api", fmt.Sprintf(readers, "api", "strict"))
	f.set("service worker", fmt.Sprintf(readers, "worker", "default"))
	f.file("hosts/h1.nix", `{ pkgs, ... }: {
  system.stateVersion = "26.05";
  systemd.services.legacy = {
    wantedBy = [ "multi-user.target" ];
    script = "cat $TOKEN_FILE > $RUNTIME_DIRECTORY/token; exec sleep infinity";
    serviceConfig = { DynamicUser = true; RuntimeDirectory = "legacy"; };
    # Restarted in one step, as NixOS does with nginx.
    stopIfChanged = false;
  };
}
`)
	f.set("service legacy", `service "legacy" {
  on      = ["*"]
  unit    = "legacy.service"
  secrets = { TOKEN = "secrets/worker.age" }
}`)
	texts := map[string]string{"secrets/api.age": secretText, "secrets/worker.age": mark + " of the worker"}
	f.secretsOf(texts)
	f.ssh("h1", "mkdir -p /var/lib/keys && umask 077 && echo of-something-else > /var/lib/keys/e2e").want(t, 0)
	f.deploy().want(t, 0)

	read := func(file, want string) {
		t.Helper()
		var r result
		if !within(patience, func() bool { r = f.ssh("h1", "cat "+file); return r.code == 0 && r.stdout == want }) {
			t.Errorf("%s on h1 is %q, want %q: %s", file, r.stdout, want, r)
		}
	}
	t.Run("services read their secrets", func(t *testing.T) {
		read("/var/lib/api/file", secretText)
		read("/var/lib/api/variable", secretText)
		read("/var/lib/api/key", "of-something-else")
		read("/var/lib/worker/file", mark+" of the worker")
		random := f.ssh("h1", "cat /var/lib/api/token").want(t, 0).stdout
		if len(random) < 20 {
			t.Errorf("a secret that lab.hcl does not give is %q", random)
		}
		read("/var/lib/worker/token", random)
		read("/run/legacy/token", mark+" of the worker")
	})
	t.Run("nobody else does", func(t *testing.T) {
		f.ssh("h1", "stat -f -c %T /run/nixmesh/secrets; stat -c '%U %a' /run/nixmesh/secrets /run/nixmesh/secrets/current/api/DATABASE_URL").want(t, 0).
			says(t, "tmpfs\nroot 700\nroot 400\n")
		for _, user := range []string{"nobody", "nm-worker"} {
			r := f.ssh("h1", "setpriv --reuid "+user+" --regid "+user+" --clear-groups cat /run/nixmesh/secrets/current/api/DATABASE_URL /run/credentials/api.service/DATABASE_URL 2>/dev/null")
			if r.code == 0 || strings.Contains(r.stdout, mark) {
				t.Errorf("%s reads the secret of api: %s", user, r)
			}
		}
		r := f.ssh("h1", "nix-store -qR /run/current-system | xargs grep -rlF "+mark+"; journalctl --no-pager | grep -F "+mark+"; true").want(t, 0)
		if strings.TrimSpace(r.stdout) != "" {
			t.Errorf("clear text is in the store or in the log: %s", r)
		}
	})
	t.Run("encrypted once", func(t *testing.T) {
		if r := f.deploy().want(t, 0); evaluated(r) != 0 {
			t.Errorf("a second deploy of the same secrets evaluates: %s", r)
		}
	})
	t.Run("a changed secret restarts its users", func(t *testing.T) {
		api, worker := f.invocation("h1", "api.service"), f.invocation("h1", "worker.service")
		texts["secrets/worker.age"] = mark + " as well"
		f.secretsOf(texts)
		f.deploy().want(t, 0)
		read("/var/lib/worker/file", mark+" as well")
		read("/var/lib/worker/variable", mark+" as well")
		read("/run/legacy/token", mark+" as well")
		if f.invocation("h1", "api.service") != api {
			t.Error("api restarted, whose secrets are the same")
		}
		if f.invocation("h1", "worker.service") == worker {
			t.Error("worker did not restart")
		}
	})
	t.Run("one that the host cannot open reverts", func(t *testing.T) {
		before, api := f.systems("h1"), f.invocation("h1", "api.service")
		stranger, err := trust.GenerateSSHKey("stranger")
		if err != nil {
			t.Fatal(err)
		}
		sealed := filepath.Join(f.dir, ".nixmesh/lab/secrets/secrets/worker.age")
		good, err := os.ReadFile(sealed)
		if err != nil {
			t.Fatal(err)
		}
		if err := trust.SealFile(sealed, []byte(mark+" as well"), []string{stranger.Authorized}); err != nil {
			t.Fatal(err)
		}
		r := f.deploy().want(t, 4).says(t, "rolled back")
		t.Logf("said: %s", r.essence())
		f.wantSettled("h1", before.current)
		f.ssh("h1", "systemctl is-active worker.service nixmesh-unseal.service").want(t, 0)
		f.ssh("h1", "journalctl --no-pager -u nixmesh-unseal").want(t, 0).
			says(t, "secret DATABASE_URL of worker (worker.age): it is not encrypted for this host's key")
		read("/var/lib/worker/file", mark+" as well")
		read("/run/nixmesh/secrets/current/worker/DATABASE_URL", mark+" as well")
		if f.invocation("h1", "api.service") != api {
			t.Error("api restarted, whose secrets are the same")
		}
		if err := os.WriteFile(sealed, good, 0o644); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a reboot, with one secret missing", func(t *testing.T) {
		const started = "systemctl show -P UserspaceTimestampMonotonic"
		before := f.ssh("h1", started).want(t, 0).stdout
		f.ssh("h1", "mv /var/lib/keys/e2e /var/lib/keys/away; systemctl start --no-block reboot.target")
		until(t, "h1 is up again", func() bool {
			r := f.ssh("h1", started+"; systemctl is-system-running --wait")
			return !strings.HasPrefix(r.stdout, before) && (strings.Contains(r.stdout, "running") || strings.Contains(r.stdout, "degraded"))
		})
		f.ssh("h1", "systemctl is-active legacy.service").want(t, 0)
		read("/run/nixmesh/secrets/current/api/DATABASE_URL", secretText)
		if r := f.ssh("h1", "systemctl is-active api.service nixmesh-unseal.service"); r.code == 0 {
			t.Errorf("api runs without one of its secrets: %s", r)
		}
		f.ssh("h1", "mv /var/lib/keys/away /var/lib/keys/e2e; systemctl restart nixmesh-unseal.service").want(t, 0)
		until(t, "api runs", func() bool { return f.ssh("h1", "systemctl is-active api.service").code == 0 })
	})
	t.Run("the last one leaves", func(t *testing.T) {
		f.set("service api", "")
		f.set("service worker", "")
		f.set("service legacy", "")
		f.service("web", "")
		f.secretsOf(nil)
		f.deploy().want(t, 0)
		if r := f.ssh("h1", "ls -A /run/nixmesh/secrets/current").want(t, 0); r.stdout != "nixmesh-agent\n" {
			t.Errorf("left, beside the agent's own: %s", r)
		}
	})
}
