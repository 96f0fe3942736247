package e2e

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

// api is a service with two versions side by side, of the web program.
const api = `service "api" {
  on        = ["*"]
  exec      = "bin/web --listen 127.0.0.1:$PORT"
  instances = 2

  listen "http" {}
  check { http = "/healthz" }

  version "v1" { package = "web" }
  version "v2" {
    package = "web"
    env     = { COLOUR = "%COLOUR%" }
  }
  split = { v1 = 90, v2 = 10 }
}`

// TestVersions: two versions with two instances each run beside each other as
// one user, and a change of one version leaves the other alone.
func TestVersions(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.set("service web", "")
	f.set("service api", strings.ReplaceAll(api, "%COLOUR%", "green"))
	f.deploy().want(t, 0)

	ports := map[int]string{}
	for port, want := range f.instances("h1") {
		ports[port] = want.unit
		f.ssh("h1", "setpriv --reuid=nixmesh-envoy --clear-groups curl -sf http://127.0.0.1:"+strconv.Itoa(port)+"/").want(t, 0).says(t, "web@"+want.version+" on h1")
		f.ssh("h1", "ps -o user= -p $(systemctl show -P MainPID "+want.unit+")").want(t, 0).says(t, "nm-api")
	}
	if len(ports) != 4 {
		t.Fatalf("four instances with ports of their own were asked for: %v", ports)
	}
	v1, v2 := f.invocation("h1", "api@v1.service"), f.invocation("h1", "api@v2-2.service")
	f.set("service api", strings.ReplaceAll(api, "%COLOUR%", "blue"))
	f.deploy().want(t, 0)
	if f.invocation("h1", "api@v1.service") != v1 {
		t.Error("a change of v2 restarted v1")
	}
	if f.invocation("h1", "api@v2-2.service") == v2 {
		t.Error("a change of v2 did not restart its second instance")
	}
}

// instance is one entry of host.json.
type instance struct{ unit, version string }

// instances are the host's instances by port, as its host.json tells.
func (f *fleet) instances(host string) map[int]instance {
	f.t.Helper()
	r := f.ssh(host, "cat /etc/nixmesh/host.json").want(f.t, 0)
	var facts struct {
		Instances []struct {
			Unit, Version string
			Listens       []struct{ Port int }
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &facts); err != nil {
		f.t.Fatalf("read host.json: %v: %s", err, r)
	}
	all := map[int]instance{}
	for _, i := range facts.Instances {
		for _, l := range i.Listens {
			all[l.Port] = instance{i.Unit, i.Version}
		}
	}
	return all
}

// invocation names one run of a unit: it changes when the unit restarts.
func (f *fleet) invocation(host, unit string) string {
	f.t.Helper()
	return strings.TrimSpace(f.ssh(host, "systemctl show -P InvocationID "+unit).want(f.t, 0).stdout)
}

// TestMigration: before_start runs as the service, with its folders, and one
// that fails reverts the host.
func TestMigration(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.file("packages.nix", `final: prev: {
  web = final.runCommand "web-1" { } ''
    mkdir -p $out/bin
    cp ${final.nixmesh-lab-services}/bin/web $out/bin/web
    cp ${final.writeScript "migrate" "#!/bin/sh\nset -e\nid -un > $STATE_DIRECTORY/by\necho $1 >> $STATE_DIRECTORY/schema\n[ $1 != bad ] || { echo migration $1 is no good >&2; exit 3; }\n"} $out/bin/migrate
  '';
}
`)
	f.service("web", `  before_start = ["bin/migrate one", "bin/migrate two"]`)
	f.deploy().want(t, 0)
	before := f.systems("h1")
	f.ssh("h1", "cat /var/lib/web/by /var/lib/web/schema").want(t, 0).says(t, "nm-web\none\ntwo\n")

	f.service("web", `  before_start = ["bin/migrate bad"]`)
	f.deploy("--confirm", "30s").want(t, 4).says(t, "web.service", "migration bad is no good")
	f.wantSettled("h1", before.current)
	f.ssh("h1", "systemctl is-active web.service").want(t, 0)
}

// TestJob: a service with a schedule is a timer and a oneshot with the
// service's identity; a deploy does not run it.
func TestJob(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.file("packages.nix", `final: prev: {
  web = final.nixmesh-lab-services;
  report = final.runCommand "report-1" { } ''
    mkdir -p $out/bin
    cp ${final.writeScript "report" "#!/bin/sh\nset -e\necho $(id -un) $TOPIC >> $STATE_DIRECTORY/runs\n"} $out/bin/report
  '';
}
`)
	job := `service "report" {
  on       = ["*"]
  package  = "report"
  exec     = "bin/report"
  schedule = "*-*-* 03:30:00"
  env      = { TOPIC = "%TOPIC%" }
}`
	f.set("service report", strings.ReplaceAll(job, "%TOPIC%", "sales"))
	f.deploy().want(t, 0)
	f.ssh("h1", "systemctl is-active report.timer").want(t, 0)
	f.ssh("h1", "test ! -e /var/lib/report/runs").want(t, 0)
	f.ssh("h1", "systemctl start report.service && cat /var/lib/report/runs").want(t, 0).says(t, "nm-report sales")

	f.set("service report", strings.ReplaceAll(job, "%TOPIC%", "stock"))
	f.deploy().want(t, 0)
	if out := f.ssh("h1", "cat /var/lib/report/runs").want(t, 0).stdout; strings.Count(out, "\n") != 1 {
		t.Errorf("the deploy ran the job: %q", out)
	}
	f.ssh("h1", "systemctl list-timers --no-pager report.timer").want(t, 0).says(t, "report.service")
}

// TestExistingConfiguration: a fleet with a flake of its own keeps it: its whole
// configuration is extended, its modules and packages are used, its units meshed.
func TestExistingConfiguration(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2")
	infra := t.TempDir()
	writeFile(t, infra+"/flake.nix", `{
  inputs.nixpkgs.url = "`+f.nixpkgs+`";
  outputs = { self, nixpkgs }: {
    nixosConfigurations.h1 = nixpkgs.lib.nixosSystem {
      system = "x86_64-linux";
      modules = [ ./h1.nix ];
    };
    nixosModules.motd = { environment.etc.motd-infra.text = "from the input's module"; };
    packages.x86_64-linux.tool = nixpkgs.legacyPackages.x86_64-linux.runCommand "tool-1" { } ''
      mkdir -p $out/bin
      cp ${nixpkgs.legacyPackages.x86_64-linux.writeScript "tool" "#!/bin/sh\nexec sleep infinity\n"} $out/bin/tool
    '';
  };
}
`)
	writeFile(t, infra+"/h1.nix", `{ pkgs, ... }: {
  system.stateVersion = "26.05";
  nixpkgs.hostPlatform = "x86_64-linux";
  nixpkgs.overlays = [ (final: prev: { greeter = final.runCommand "greeter-1" { } "mkdir -p $out/bin; cp ${final.writeScript "greet" "#!/bin/sh\nexec sleep infinity\n"} $out/bin/greet"; }) ];
  environment.etc.infra.text = "it was here before";
  systemd.services.legacy = { wantedBy = [ "multi-user.target" ]; serviceConfig.ExecStart = "/bin/sleep infinity"; };
}
`)
	f.inputs = `{ infra = "path:` + infra + `" }`
	f.set("host h1", `host "h1" {
  address = "`+f.address(0)+`"
  config  = "infra#nixosConfigurations.h1"
  nixos   = { "environment.etc.hatch" = { text = "nixos = works" } }
}`)
	f.set("host h2", `host "h2" {
  address = "`+f.address(1)+`"
  imports = ["./hosts/h2.nix", "infra#nixosModules.motd"]
}`)
	f.set("service web", `service "web" {
  on      = ["h2"]
  package = "web"
  exec    = "bin/web --listen 127.0.0.1:$PORT"
  listen "http" {}
  check { http = "/healthz" }
}`)
	f.set("service legacy", `service "legacy" {
  on   = ["h1"]
  unit = "legacy.service"
  env  = { GIVEN = "by the HCL" }
  check {
    exec    = "bin/true"
    package = "coreutils"
  }
}`)
	f.set("service greeter", `service "greeter" {
  on      = ["h1"]
  package = "greeter"
  exec    = "bin/greet"
  check { exec = "/bin/true" }
}`)
	f.set("service tool", `service "tool" {
  on      = ["*"]
  package = "infra#tool"
  exec    = "bin/tool"
  check { exec = "/bin/true" }
}`)
	f.run("update").want(t, 0)
	f.deploy().want(t, 0)
	f.ssh("h1", "cat /etc/infra /etc/hatch && systemctl is-active greeter legacy tool").want(t, 0).says(t, "it was here before", "nixos = works")
	f.ssh("h1", "systemctl show -P Environment legacy.service").want(t, 0).says(t, "by the HCL")
	f.ssh("h2", "cat /etc/motd-infra && systemctl is-active web tool").want(t, 0).says(t, "from the input's module")
	before := f.systems("h1")

	// A change in the existing flake arrives by `update` and a deploy, and goes back.
	writeFile(t, infra+"/h1.nix", strings.Replace(readFile(t, infra+"/h1.nix"), "it was here before", "it has changed", 1))
	f.run("update", "infra").want(t, 0)
	f.deploy().want(t, 0)
	f.ssh("h1", "cat /etc/infra").want(t, 0).says(t, "it has changed")
	f.wantTaken(t, f.run("rollback", "-y"))
	f.wantSettled("h1", before.current)
}
