package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// endpoint is how a host's agent says one of its services is.
func (f *fleet) endpoint(host, service string) *agentapi.Endpoint {
	f.t.Helper()
	status := f.agent(host)
	if status == nil {
		return nil
	}
	for _, s := range status.Services {
		for i := range s.Endpoints {
			if s.Name == service && s.Endpoints[i].Host == host {
				return &s.Endpoints[i]
			}
		}
	}
	return nil
}

// wantState waits until a service is in a state, for a reason that holds a text.
func (f *fleet) wantState(t *testing.T, service, state, reason string) *agentapi.Endpoint {
	t.Helper()
	var e *agentapi.Endpoint
	if !within(patience, func() bool {
		e = f.endpoint("h1", service)
		return e != nil && e.State == state && strings.Contains(e.Reason, reason)
	}) {
		t.Fatalf("%s is not %s %q after %s: %+v\n%s", service, state, reason, patience, e, f.ssh("h1", "journalctl --no-pager -n 60"))
	}
	return e
}

// script runs commands on the host and gives the time on its clock in between.
func (f *fleet) script(t *testing.T, command string) time.Time {
	t.Helper()
	out := f.ssh("h1", "date +%s%N; "+command).want(t, 0).stdout
	ns, err := strconv.ParseInt(strings.Fields(out)[0], 10, 64)
	if err != nil {
		t.Fatalf("read the host's time: %v", err)
	}
	return time.Unix(0, ns)
}

// notBefore fails where a state began sooner after a moment than a check may tell
// it: so many results have to come first. How soon it has to be told depends on
// the machine, and is tested with a clock of its own in package health.
func notBefore(t *testing.T, what string, from time.Time, e *agentapi.Endpoint, least time.Duration) {
	t.Helper()
	d := e.Since.Sub(from)
	t.Logf("%s: %.1f s (+1 s, the time is told in seconds)", what, d.Seconds())
	if d < least-time.Second {
		t.Errorf("%s took %s, want %s at least", what, d, least)
	}
}

// restartWith starts a service anew with a fault in its environment, "" = none.
func (f *fleet) restartWith(t *testing.T, service, fault string) time.Time {
	t.Helper()
	dir := "/run/systemd/system/" + service + ".service.d"
	line := ""
	if fault != "" {
		line = "Environment=" + fault
	}
	return f.script(t, fmt.Sprintf("mkdir -p %s && printf '[Service]\\n%s\\n' > %s/fault.conf && systemctl daemon-reload && systemctl restart %s", dir, line, dir, service))
}

// TestHealth: what the agent of a host says of its services when they fail,
// recover, stop and answer late; commands run in units of their own, with what
// their service has.
func TestHealth(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1")
	f.file("packages.nix", `final: prev: {
  web = final.nixmesh-lab-services;
  tool = final.runCommand "tool-1" { } ''
    mkdir -p $out/bin
    cp ${final.nixmesh-lab-services}/bin/web $out/bin/web
    cp ${final.writeScript "probe" ''
      #!/bin/sh
      [ "$(id -un) $GREETING $1" = "nm-tool 50% \"off\" word" ] || { echo "run as $(id -un) with $GREETING and $1"; exit 1; }
      [ "$(cat $TOKEN_FILE)" = "$TOKEN" ] || { echo "not its secret"; exit 1; }
      [ ! -e /run/nixmesh ] || { echo "no sandbox"; exit 1; }
      [ ! -e $STATE_DIRECTORY/slow ] || sleep 60
      [ ! -e $STATE_DIRECTORY/bad ] || { echo "the queue is full" >&2; exit 3; }
      date +%s > $STATE_DIRECTORY/probed
    ''} $out/bin/probe
    cp ${final.writeScript "who" ''
      #!/bin/sh
      [ $(id -u) -ge 61184 ] && touch $STATE_DIRECTORY/probed || { echo "run as $(id -u)"; exit 1; }
    ''} $out/bin/who
  '';
}
`)
	f.secretsOf(map[string]string{"secrets/token.age": mark})
	f.set("service web", `service "web" {
  on      = ["*"]
  package = "web"
  exec    = "bin/web --listen 127.0.0.1:$PORT"

  listen "http" {}
  check {
    http    = "/healthz"
    every   = "1s"
    timeout = "500ms"
    after   = "5s"
  }
}`)
	const tool = `service "tool" {
  on         = ["*"]
  package    = "tool"
  exec       = "bin/web --listen 127.0.0.1:$PORT"
  harden     = "strict"
  env        = { GREETING = "50%% \"off\"" }
  secrets    = { TOKEN = "secrets/token.age" }
  secret_env = ["TOKEN"]

  listen "http" {}
%s
}`
	const probe = `  check {
    exec    = %q
    every   = "1s"
    timeout = "2s"
  }`
	f.set("service tool", fmt.Sprintf(tool, fmt.Sprintf(probe, "bin/probe word")))
	// A unit of another module, with a user that systemd makes up.
	f.file("hosts/h1.nix", `{ ... }: {
  system.stateVersion = "26.05";
  systemd.services.legacy = {
    wantedBy = [ "multi-user.target" ];
    script = "exec sleep infinity";
    serviceConfig = { DynamicUser = true; StateDirectory = "legacy"; };
  };
}
`)
	f.set("service legacy", `service "legacy" {
  on   = ["*"]
  unit = "legacy.service"
  check {
    exec    = "bin/who"
    package = "tool"
    every   = "1s"
    timeout = "20s"
  }
}`)
	f.set("service job", `service "job" {
  on       = ["*"]
  package  = "web"
  exec     = "bin/web --listen 127.0.0.1:1"
  schedule = "*-*-* 03:30:00"
}`)
	f.set("service once", `service "once" {
  on      = ["*"]
  package = "web"
  exec    = "/bin/sh -c true"
  restart = "never"
}`)
	f.deploy().want(t, 0)
	for _, service := range []string{"web", "tool", "legacy", "job", "once"} {
		f.wantState(t, service, agentapi.EndpointHealthy, "")
	}

	t.Run("exec", func(t *testing.T) {
		at := f.script(t, "touch /var/lib/tool/bad")
		notBefore(t, "three failures", at, f.wantState(t, "tool", agentapi.EndpointUnhealthy, "probe: exit status 3: the queue is full"), 2*time.Second)
		at = f.script(t, "rm /var/lib/tool/bad")
		notBefore(t, "two passes", at, f.wantState(t, "tool", agentapi.EndpointHealthy, ""), time.Second)
		at = f.script(t, "touch /var/lib/tool/slow")
		notBefore(t, "three late answers", at, f.wantState(t, "tool", agentapi.EndpointUnhealthy, "probe: no answer within 2s"), 4*time.Second)
		f.script(t, "rm /var/lib/tool/slow")
		f.wantState(t, "tool", agentapi.EndpointHealthy, "")
	})

	t.Run("stopped unit", func(t *testing.T) {
		// The reason tells it from a check that failed often enough.
		out := f.ssh("h1", `systemctl stop tool.service; began=$(date +%s%N)
until curl -sf --unix-socket /run/nixmesh/api.sock http://agent`+agentapi.PathStatus+` | grep -o '"name":"tool","ready":[^]]*' | grep -q 'tool.service is not running'; do
  [ $(date +%s%N) -lt $((began + 120000000000)) ] || exit 1
done
echo $(((($(date +%s%N) - began)) / 1000000))`).want(t, 0).stdout
		t.Logf("stopped and told after %s ms", strings.TrimSpace(out))
		f.ssh("h1", "systemctl start tool.service").want(t, 0)
		f.wantState(t, "tool", agentapi.EndpointHealthy, "")
	})

	t.Run("http", func(t *testing.T) {
		// Failures do not count for 5 s, and three are needed.
		at := f.restartWith(t, "web", "FAIL_HEALTH=1")
		notBefore(t, "after, and three failures", at, f.wantState(t, "web", agentapi.EndpointUnhealthy, "GET /healthz 503"), 7*time.Second)
		f.restartWith(t, "web", "")
		f.wantState(t, "web", agentapi.EndpointHealthy, "")
		f.restartWith(t, "web", "SLOW=2s")
		f.wantState(t, "web", agentapi.EndpointUnhealthy, "GET /healthz: no answer within 500ms")
		f.restartWith(t, "web", "")
		f.wantState(t, "web", agentapi.EndpointHealthy, "") // it is not believed at once: this was too often
	})

	t.Run("sockets", func(t *testing.T) {
		f.ssh("h1", "stat -c '%U %a' /run/nixmesh/checks/tool").want(t, 0).says(t, "nixmesh-agent 600\n")
		f.ssh("h1", "setpriv --reuid deploy --regid nogroup --clear-groups curl -s --unix-socket /run/nixmesh/checks/tool http://x/; test $? = 7").want(t, 0)
	})

	t.Run("agent restarts", func(t *testing.T) {
		before := f.endpoint("h1", "legacy") // whose checks have time on a busy machine
		f.ssh("h1", "systemctl restart "+agentUnit).want(t, 0)
		f.status(t, "h1") // the first answer comes when it has started
		for range 20 {
			if now := f.endpoint("h1", "legacy"); now == nil || now.State != agentapi.EndpointHealthy || now.Ready != 1 {
				t.Fatalf("after a restart of the agent: %+v, was %+v", now, before)
			}
		}
	})

	t.Run("switches", func(t *testing.T) {
		// Another command, and one more check; the one that runs meanwhile disturbs nothing.
		f.set("service tool", fmt.Sprintf(tool, fmt.Sprintf(probe, "bin/probe other")+"\n"+fmt.Sprintf(probe, "bin/probe word")))
		r := f.deploy("--confirm", brief)
		if r.code == 0 {
			t.Fatalf("a check that fails was deployed: %s", r)
		}
		f.wantState(t, "tool", agentapi.EndpointHealthy, "")
		f.set("service tool", fmt.Sprintf(tool, fmt.Sprintf(probe, "/bin/true")+"\n"+fmt.Sprintf(probe, "bin/probe word")))
		f.deploy().want(t, 0)
		f.ssh("h1", "cd /run/nixmesh/checks && echo *; systemctl is-active nixmesh-check-tool:2.socket").want(t, 0).says(t, "legacy tool tool#2\n")
		probed := f.script(t, "true").Unix()
		until(t, "the second check runs", func() bool {
			at, err := strconv.ParseInt(strings.TrimSpace(f.ssh("h1", "cat /var/lib/tool/probed").stdout), 10, 64)
			return err == nil && at > probed
		})
		f.wantState(t, "tool", agentapi.EndpointHealthy, "")
		// Without checks: what is there no more is gone from the host.
		f.set("service tool", fmt.Sprintf(tool, ""))
		f.set("service legacy", "")
		f.deploy().want(t, 0)
		until(t, "nothing is left behind, once a check that was running has ended", func() bool {
			r := f.ssh("h1", "ls /run/nixmesh/checks; systemctl list-units --all --plain --no-legend 'nixmesh-check-*'; systemctl --failed --plain --no-legend")
			if left := strings.TrimSpace(r.stdout); left != "" {
				t.Logf("left behind: %s", left)
				return false
			}
			return r.code == 0
		})
		f.wantState(t, "tool", agentapi.EndpointHealthy, "")
	})
}
