package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// listening says why a host's Envoy does not take calls, as its agent knows it; ""
// where it does.
func (f *fleet) listening(host string) string {
	f.t.Helper()
	s := f.agent(host)
	switch {
	case s == nil:
		return "no answer of the agent"
	case s.Proxy == nil:
		return "no Envoy in the facts"
	case !s.Proxy.Connected:
		return "not connected: " + s.Proxy.Held
	case !s.Proxy.Listening:
		return fmt.Sprintf("it did not acknowledge its listeners: %+v", *s.Proxy)
	}
	return ""
}

// wantListening waits until the Envoys of hosts, or of all, take calls.
func (f *fleet) wantListening(t *testing.T, hosts ...string) {
	t.Helper()
	if hosts == nil {
		hosts = f.hosts
	}
	began := time.Now()
	for _, host := range hosts {
		why := ""
		if !within(time.Until(began.Add(patience)), func() bool { why = f.listening(host); return why == "" }) {
			t.Fatalf("%s after %s: %s\n%s", host, patience, why, f.ssh(host, "journalctl -u nixmesh-agent -u nixmesh-envoy --no-pager -n 40"))
		}
	}
	t.Logf("every Envoy has its listeners after %.1f s", time.Since(began).Seconds())
}

// envoyPID is the main process of a host's Envoy.
func (f *fleet) envoyPID(host string) string {
	f.t.Helper()
	return strings.TrimSpace(f.ssh(host, "systemctl show -P MainPID "+hostfacts.EnvoyUnit).want(f.t, 0).stdout)
}

// anotherEnvoy lets a host's system name an Envoy of another version, which is the
// same program at another path.
func (f *fleet) anotherEnvoy(host, version string) {
	f.t.Helper()
	f.file("hosts/"+host+".nix", fmt.Sprintf(`{ pkgs, ... }:
{
  system.stateVersion = "26.05";
  services.nixmesh.envoy.package = pkgs.runCommand "envoy-%s" { } "mkdir -p $out/bin; ln -s ${pkgs.envoy-bin}/bin/envoy $out/bin/envoy";
}
`, version))
}

// unhurried is an upstream without retries, whose calls have time on a busy machine.
const unhurried = `  upstream "plain" {
    timeout         = "60s"
    connect_timeout = "20s"
  }`

// TestEnvoy: what runs on each host after one deploy, and what becomes of calls when
// it dies, is renewed, or does not come up. web on every host calls plain on every
// host.
func TestEnvoy(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2", "h3")
	f.set("service plain", echoService("plain", everyHost, "--http", listenHTTP, checkHTTP, ""))
	f.service("web", unhurried)
	f.wantTaken(t, f.deploy())
	f.wantListening(t)
	f.wantConvened(t)
	f.wantWhole(t)
	web := map[string]*caller{}
	for _, host := range f.hosts {
		web[host] = f.as(host, "nm-web")
		web[host].wantStatus(t, "http://plain.mesh/", 200)
	}
	t.Run("units", func(t *testing.T) { f.testEnvoyUnits(t) })
	t.Run("rehearsal", func(t *testing.T) { f.testRehearsal(t) })
	t.Run("memory", func(t *testing.T) { f.testEnvoyMemory(t) })
	t.Run("killed", func(t *testing.T) { f.testEnvoyKilled(t, web["h1"]) })
	t.Run("renewed", func(t *testing.T) { f.testEnvoyRenewed(t, web) })
	t.Run("gate", func(t *testing.T) { f.testEnvoyGate(t) })
	t.Run("broken", func(t *testing.T) { f.testEnvoyBroken(t, web["h1"]) })
}

// testEnvoyUnits: what systemd and the kernel hold Envoy to.
func (f *fleet) testEnvoyUnits(t *testing.T) {
	for _, host := range f.hosts {
		f.ssh(host, "systemctl is-active "+hostfacts.EnvoyUnit+" nixmesh-agent-xds.socket").want(t, 0)
		if r := f.ssh(host, "systemctl --failed --plain --no-legend"); strings.TrimSpace(r.stdout) != "" {
			t.Errorf("failed on %s: %s", host, r.stdout)
		}
	}
	if r := f.ssh("h1", "cd /etc/systemd/system && systemd-analyze verify --man=no nixmesh-envoy.service nixmesh-agent-xds.socket"); r.code != 0 || r.stdout+r.stderr != "" {
		t.Errorf("systemd doubts the units: %s", r)
	}
	out := f.ssh("h1", "systemd-analyze security --no-pager "+hostfacts.EnvoyUnit).want(t, 0).stdout
	m := regexp.MustCompile(`level for nixmesh-envoy\.service: ([0-9.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no score in %s", out)
	}
	if score, err := strconv.ParseFloat(m[1], 64); err != nil || score > 2 {
		t.Errorf("its score is %s; at most 2.0 was promised", m[1])
	}
	const bindOnly = "0000000000000400" // CAP_NET_BIND_SERVICE
	caps := f.ssh("h1", "grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/"+f.envoyPID("h1")+"/status").want(t, 0).stdout
	if strings.Count(caps, bindOnly) != 4 {
		t.Errorf("its capabilities: %s", caps)
	}
	f.ssh("h1", "stat -c '%U %G %a' /run/nixmesh/xds.sock /run/nixmesh/envoy /run/nixmesh/envoy/admin.sock").want(t, 0).
		says(t, "root nixmesh-envoy 660\nnixmesh-envoy nixmesh-envoy 750\nnixmesh-envoy nixmesh-envoy 660\n")
	f.ssh("h1", "setpriv --reuid nm-web --clear-groups curl -s --max-time 30 --unix-socket /run/nixmesh/envoy-admin.sock http://envoy/ready").want(t, 7)
}

// testEnvoyMemory: what bounds its memory. The kernel does where the machine has the
// controller; Envoy's own overload manager always.
func (f *fleet) testEnvoyMemory(t *testing.T) {
	f.ssh("h1", "curl -sf --unix-socket /run/nixmesh/envoy-admin.sock 'http://envoy/stats?filter=^overload'").want(t, 0).
		says(t, "overload.envoy.resource_monitors.fixed_heap.pressure", "overload.envoy.overload_actions.stop_accepting_connections.active: 0")
	const file = "/sys/fs/cgroup/system.slice/nixmesh-envoy.service/memory.max"
	switch r := f.ssh("h1", "cat "+file); {
	case r.code != 0:
		t.Logf("this machine has no memory controller for the lab's hosts: only Envoy's own bound acts")
	case strings.TrimSpace(r.stdout) != fmt.Sprint(1<<30):
		t.Errorf("memory.max is %s", r.stdout)
	}
}

// testEnvoyKilled: a callee's Envoy that dies costs the calls of the moment in which
// nobody listens, and the caller's own is there again at once.
func (f *fleet) testEnvoyKilled(t *testing.T, web *caller) {
	before := f.envoyPID("h2")
	l := startLoad(web, "http://plain.mesh/", 100, false)
	l.more(t, 50)
	f.ssh("h2", "kill -9 "+before).want(t, 0)
	began := time.Now()
	until(t, "another Envoy on h2 takes calls", func() bool {
		return f.envoyPID("h2") != before && f.listening("h2") == ""
	})
	t.Logf("the Envoy of h2 listens again after %.1f s, as seen from outside", time.Since(began).Seconds())
	calm := func() bool { // 50 calls, half a second of them, go well
		_, before := l.counts()
		l.more(t, 50)
		_, after := l.counts()
		return before == after
	}
	until(t, "calls go well again", calm)
	l.end(t, "the Envoy of a callee is killed")

	pid := f.envoyPID("h1")
	f.ssh("h1", "kill -9 "+pid).want(t, 0)
	began = time.Now()
	web.wantStatus(t, "http://plain.mesh/", 200)
	t.Logf("its own Envoy killed, a caller is served again after %d ms", time.Since(began).Milliseconds())
	f.wantListening(t)
}

// drainedInVain is what a deploy says of callers who did not hear of a drain in its
// time, and of requests that took longer.
var drainedInVain = regexp.MustCompile(`[^;]* did not say that their Envoys knew|\d+ requests? cut off`)

// testEnvoyRenewed: another version comes with the next system, drained and host by
// host, and goes with a rollback: nobody elsewhere notices.
func (f *fleet) testEnvoyRenewed(t *testing.T, web map[string]*caller) {
	pids := map[string]string{}
	renewed := func(what string, from *caller, do func() result, hosts ...string) {
		for _, host := range hosts {
			pids[host] = f.envoyPID(host)
		}
		l := startLoad(from, "http://plain.mesh/", 100, false)
		fresh := startLoad(from, "http://plain.mesh/", 30, true)
		// A drain does not wait for ever, and says whom it could not wait for.
		r := do()
		late := drainedInVain.FindAllString(r.stdout+r.stderr, -1)
		failed := l.end(t, what+", kept connections") + fresh.end(t, what+", new connections")
		if failed > 0 && len(late) == 0 {
			t.Errorf("%s: %d requests failed", what, failed)
		}
		if len(late) > 0 {
			t.Logf("%s: %d requests failed, and %q", what, failed, late)
		}
		for _, host := range hosts {
			if f.envoyPID(host) == pids[host] {
				t.Errorf("%s: the Envoy of %s is still the same", what, host)
			}
		}
		f.wantListening(t)
		f.wantWhole(t)
	}
	f.wantWhole(t)
	f.anotherEnvoy("h2", "1.40.1")
	f.anotherEnvoy("h3", "1.40.1")
	f.run("plan").want(t, 0).says(t, "envoy 1.40.0 -> 1.40.1: restart, drained")
	renewed("two hosts get 1.40.1", web["h1"], func() result {
		r := f.wantTaken(t, f.deploy()).says(t, "envoy 1.40.1 takes calls after")
		for line := range strings.Lines(r.stdout + r.stderr) {
			if strings.Contains(line, "envoy") {
				t.Log(strings.TrimSpace(line))
			}
		}
		return r
	}, "h2", "h3")
	f.anotherEnvoy("h1", "1.40.1")
	renewed("the third gets it", web["h2"], func() result { return f.wantTaken(t, f.deploy()) }, "h1")
	renewed("a rollback takes it away", web["h2"], func() result {
		return f.wantTaken(t, f.run("rollback", "-y")).says(t, "envoy 1.40.1 -> 1.40.0: restart, drained")
	}, "h1")
	f.run("plan").want(t, 0).says(t, "envoy 1.40.0 -> 1.40.1")
}

// gateClosed is what a deploy says of an Envoy that the agent does not hear of, or of
// an agent that has no time to say so.
var gateClosed = regexp.MustCompile(`this host's Envoy is not connected|GET /ready/envoy: no answer within`)

// testEnvoyGate: a switch is not kept where Envoy does not take calls.
func (f *fleet) testEnvoyGate(t *testing.T) {
	f.ssh("h3", "chmod 600 /run/nixmesh/xds.sock && systemctl restart "+hostfacts.EnvoyUnit).want(t, 0)
	f.service("web", unhurried+"\n  env = { COLOUR = \"green\" }")
	r := f.deploy("--on", "h3", "--confirm", "30s").want(t, 4)
	if !gateClosed.MatchString(r.stdout + r.stderr) {
		t.Errorf("want %q in the output of %s", gateClosed, r)
	}
	f.ssh("h3", "chmod 660 /run/nixmesh/xds.sock").want(t, 0)
	f.wantListening(t, "h3")
	f.wantTaken(t, f.deploy())
	f.wantWhole(t)
}

// testEnvoyBroken: one that would not start goes back with its system, before it is
// started, and the one that runs goes on.
func (f *fleet) testEnvoyBroken(t *testing.T, web *caller) {
	f.file("hosts/h2.nix", `{ pkgs, ... }:
{
  system.stateVersion = "26.05";
  services.nixmesh.envoy.package = pkgs.runCommand "envoy-1.41.0" { } "mkdir -p $out/bin; ln -s /usr/bin/false $out/bin/envoy";
}
`)
	before := f.envoyPID("h2")
	l := startLoad(web, "http://plain.mesh/", 100, false)
	f.deploy().want(t, 4).says(t, "envoy 1.40.1 -> 1.41.0: restart, drained", "does not take")
	if failed := l.end(t, "an Envoy that does not start"); failed > 0 || f.envoyPID("h2") != before {
		t.Errorf("%d requests failed, and process %s became %s", failed, before, f.envoyPID("h2"))
	}
}
