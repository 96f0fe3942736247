package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/trust"
)

// TestAgents: what systemd and the kernel hold the agents to, and that they
// find each other and agree, whatever is done to them.
func TestAgents(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2", "h3")
	f.deploy().want(t, 0)

	t.Run("units", func(t *testing.T) {
		for _, host := range f.hosts {
			f.ssh(host, "systemctl is-active "+agentUnit+" nixmesh-agent.socket nixmesh-nodekey.service").want(t, 0)
			if r := f.ssh(host, "systemctl --failed --plain --no-legend"); strings.TrimSpace(r.stdout) != "" {
				t.Errorf("failed on %s: %s", host, r.stdout)
			}
		}
		if r := f.ssh("h1", "cd /etc/systemd/system && systemd-analyze verify --man=no nixmesh-agent.* nixmesh-gossip-key.* nixmesh-nodekey.* nixmesh-hostkey.*"); r.code != 0 || r.stdout+r.stderr != "" {
			t.Errorf("systemd doubts the units: %s", r)
		}
		out := f.ssh("h1", "systemd-analyze security --no-pager "+agentUnit+" nixmesh-nodekey.service").want(t, 0).stdout
		scores := regexp.MustCompile(`level for (nixmesh-[a-z]+\.service): ([0-9.]+)`).FindAllStringSubmatch(out, -1)
		if len(scores) != 2 {
			t.Fatalf("no two scores in %s", out)
		}
		for _, m := range scores {
			if score, err := strconv.ParseFloat(m[2], 64); err != nil || score > 2 {
				t.Errorf("the score of %s is %s; at most 2.0 was promised", m[1], m[2])
			}
		}
		f.ssh("h1", "grep ^Cap /proc/"+f.agentPID("h1")+"/status | grep -v 0000000000000000").want(t, 1)
	})
	t.Run("keys", func(t *testing.T) {
		f.ssh("h1", "stat -c '%U %a' /var/lib/nixmesh/node/node.key /var/lib/nixmesh/agent; stat -c '%U %G %a' /run/nixmesh/api.sock").want(t, 0).
			says(t, "root 600\nnixmesh-agent 700\nroot nixmesh 660\n")
		cert := f.ssh("h1", "cat /var/lib/nixmesh/node/node.cert").want(t, 0).stdout
		if _, err := trust.ParseNodeCert([]byte(cert)); err != nil {
			t.Error(err)
		}
		as := func(user, group, command string) result {
			return f.ssh("h1", "setpriv --reuid "+user+" --regid "+group+" --clear-groups "+command)
		}
		for _, file := range []string{"/etc/ssh/ssh_host_ed25519_key", "/var/lib/nixmesh/node/node.key", "/run/nixmesh/secrets/current/nixmesh-agent/gossip.key"} {
			f.ssh("h1", "test -s "+file).want(t, 0)
			if r := as("nixmesh-agent", "nixmesh", "cat "+file); r.code == 0 {
				t.Errorf("the agent's user reads %s", file)
			}
		}
		ask := askAgent + " -o /dev/null"
		if r := as("nobody", "nogroup", ask); r.code == 0 {
			t.Error("nobody asks the agent")
		}
		f.ssh("h1", "setpriv --reuid deploy --regid deploy --init-groups "+ask).want(t, 0)
	})
	t.Run("all agree", func(t *testing.T) { f.wantConvened(t) })
	t.Run("one is killed", func(t *testing.T) {
		before := f.agentPID("h2")
		began := time.Now()
		f.ssh("h2", "kill -KILL "+before).want(t, 0)
		// Its socket is still there: who asks waits, and is never turned away.
		if r := f.ssh("h2", askAgent); r.code == curlRefused {
			t.Errorf("nobody answers while the agent starts: %s", r)
		}
		f.status(t, "h2")
		t.Logf("answered again after %.1f s", time.Since(began).Seconds())
		if after := f.agentPID("h2"); after == before || after == "0" {
			t.Errorf("the agent's process was %s and is %s", before, after)
		}
		f.wantConvened(t)
	})
	t.Run("all are killed", func(t *testing.T) {
		for _, host := range f.hosts {
			f.ssh(host, "systemctl kill --signal KILL "+agentUnit).want(t, 0)
		}
		f.wantConvened(t)
	})
	t.Run("other facts restart nobody", func(t *testing.T) {
		was, hash := f.invocation("h1", agentUnit), f.status(t, "h1").Document.Hash
		f.service("web", `  env = { COLOUR = "blue" }`)
		f.deploy().want(t, 0)
		if f.invocation("h1", agentUnit) != was {
			t.Error("the agent restarted")
		}
		until(t, "the agent knows the new system", func() bool {
			s := f.status(t, "h1")
			own := slices.IndexFunc(s.Hosts, func(h agentapi.Host) bool { return h.Name == "h1" })
			return own >= 0 && s.Hosts[own].System != "" && strings.Contains(f.systems("h1").current, s.Hosts[own].System)
		})
		t.Logf("document %s, then %s", hash, f.status(t, "h1").Document.Hash)
		f.wantConvened(t)
	})
	t.Run("a partition of ten seconds", func(t *testing.T) {
		web := func(host string) string { // the state of web on h2, as a host sees it
			s := f.agent(host)
			if s == nil {
				return ""
			}
			for _, service := range s.Services {
				for _, e := range service.Endpoints {
					if service.Name == "web" && e.Host == "h2" {
						return e.State
					}
				}
			}
			return "none"
		}
		f.lab("partition", "h1", "h2,h3").want(t, 0)
		began := time.Now()
		f.ssh("h2", "systemctl stop web.service").want(t, 0)
		until(t, "h3 sees web unhealthy on h2", func() bool { return web("h3") == agentapi.EndpointUnhealthy })
		until(t, "h1 misses h2", func() bool { return strings.HasPrefix(f.convened("h1"), "h2 is ") })
		time.Sleep(time.Until(began.Add(10 * time.Second))) // the length is what is tested
		f.lab("heal").want(t, 0)
		f.wantConvened(t)
		until(t, "h1 sees web unhealthy on h2", func() bool { return web("h1") == agentapi.EndpointUnhealthy })
		f.ssh("h2", "systemctl start web.service").want(t, 0)
		until(t, "h1 sees web healthy on h2", func() bool { return web("h1") == agentapi.EndpointHealthy })
	})
	t.Run("a clock a day ahead", func(t *testing.T) {
		f.lab("break", "h2", "--clock", "+25h").want(t, 0)
		until(t, "the agent's clock is ahead", func() bool {
			s := f.agent("h2")
			return s != nil && time.Until(s.Time) > 24*time.Hour
		})
		f.wantConvened(t, "h1", "h3")
		f.said(t, "h2", "ahead of those of the others")
		for _, host := range []string{"h1", "h3"} { // the two agree
			var s *agentapi.Status
			if !within(patience, func() bool { s = f.status(t, host); return len(s.Problems) == 0 }) {
				t.Errorf("%s tells %v", host, s.Problems)
			}
		}
		f.lab("heal").want(t, 0)
		f.wantConvened(t)
		var s *agentapi.Status
		if !within(patience, func() bool { s = f.status(t, "h2"); return time.Until(s.Time) < time.Hour && len(s.Problems) == 0 }) {
			t.Errorf("after heal the agent's clock says %s, with %v", s.Time, s.Problems)
		}
	})
	t.Run("damaged files", func(t *testing.T) {
		f.ssh("h3", "systemctl stop nixmesh-agent.socket "+agentUnit+" && cd /var/lib/nixmesh/agent && ls && "+
			`for f in *.v1; do head -c 40 "$f" > /run/cut && cat /run/cut > "$f"; done && echo garbage > mesh.v1 && systemctl start nixmesh-agent.socket `+agentUnit).want(t, 0)
		f.wantConvened(t)
		f.ssh("h3", "ls /var/lib/nixmesh/agent").want(t, 0).says(t, "mesh.v1.corrupt")
		f.said(t, "h3", "mesh.v1")
	})
	t.Run("a full disk", func(t *testing.T) {
		f.lab("break", "h3", "--fill-store").want(t, 0)
		f.ssh("h3", "systemctl kill --signal KILL "+agentUnit).want(t, 0)
		f.wantConvened(t)
		f.said(t, "h3", "no space left")
		f.lab("heal").want(t, 0)
		until(t, "the agent writes again", func() bool { s := f.agent("h3"); return s != nil && len(s.Problems) == 0 })
		f.wantConvened(t)
	})
	t.Run("back while all others are down", func(t *testing.T) {
		for _, host := range []string{"h2", "h3"} {
			f.lab("break", host, "--power", "--no-boot").want(t, 0)
		}
		hash := f.status(t, "h1").Document.Hash
		boot := f.ssh("h1", "cat /proc/sys/kernel/random/boot_id").want(t, 0).stdout
		f.lab("break", "h1", "--power").want(t, 0)
		until(t, "h1 is back", func() bool {
			r := f.ssh("h1", "cat /proc/sys/kernel/random/boot_id")
			return r.code == 0 && r.stdout != boot
		})
		var s *agentapi.Status
		until(t, "its agent serves from disk", func() bool {
			s = f.agent("h1")
			return s != nil && s.Document != nil
		})
		if !s.Stale || s.Document.Hash != hash {
			t.Errorf("stale is %t, with document %s; it was %s", s.Stale, s.Document.Hash, hash)
		}
		f.lab("heal").want(t, 0)
		f.wantConvened(t)
	})
	t.Run("another host key", func(t *testing.T) {
		const key = "/etc/ssh/ssh_host_ed25519_key"
		cert := func() string { return f.ssh("h3", "cat /var/lib/nixmesh/node/node.cert").want(t, 0).stdout }
		becomes := func(file string) {
			t.Helper()
			before, was := cert(), f.agentPID("h3")
			f.ssh("h3", "cat "+file+" > "+key).want(t, 0)
			until(t, "the node key is signed anew", func() bool { return cert() != before })
			until(t, "the agent has the new certificate", func() bool {
				pid := f.agentPID("h3")
				return pid != was && pid != "0"
			})
		}
		f.ssh("h3", "cp -p "+key+" /root/kept && ssh-keygen -q -t ed25519 -N '' -f /root/other").want(t, 0)
		becomes("/root/other")
		becomes("/root/kept")
		f.wantConvened(t)
	})
	t.Run("another gossip key", func(t *testing.T) {
		key := gossip.NewKeyText()
		if err := os.WriteFile(filepath.Join(f.dir, ".nixmesh/lab/gossip.key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
		given := func(host string) string {
			return f.ssh(host, "cat /run/credentials/"+agentUnit+"/gossip.key; true").want(t, 0).stdout // none while it restarts
		}
		for _, hosts := range [][]string{{"h1"}, {"h2", "h3"}} {
			f.deploy("--on", strings.Join(hosts, ",")).want(t, 0)
			for _, host := range hosts {
				until(t, "the agent was started with the key", func() bool { return given(host) == string(key) })
			}
			f.wantConvened(t)
		}
		until(t, "all use it alone", func() bool {
			for _, host := range f.hosts {
				if s := f.agent(host); s == nil || strings.Contains(fmt.Sprint(s.Problems), "not this host's credential") {
					return false
				}
			}
			return true
		})
		f.wantConvened(t)
	})
	t.Run("a gossip key that the host cannot open reverts", func(t *testing.T) {
		before := f.systems("h1")
		stranger, err := trust.GenerateSSHKey("stranger")
		if err != nil {
			t.Fatal(err)
		}
		sealed := filepath.Join(f.dir, ".nixmesh/lab/secrets/secrets/gossip.age")
		good, err := os.ReadFile(sealed)
		if err != nil {
			t.Fatal(err)
		}
		if err := trust.SealFile(sealed, []byte("no key"), []string{stranger.Authorized}); err != nil {
			t.Fatal(err)
		}
		f.deploy("--on", "h1").want(t, 4).says(t, "rolled back", "nixmesh-unseal.service", "secret gossip.key of nixmesh-agent", "nixmesh secret rekey")
		f.wantSettled("h1", before.current)
		if err := os.WriteFile(sealed, good, 0o644); err != nil {
			t.Fatal(err)
		}
		f.deploy().want(t, 0)
		f.wantConvened(t)
	})
	t.Run("a host comes and goes", func(t *testing.T) {
		was := f.invocation("h1", agentUnit)
		f.hosts = append(f.hosts, "h4")
		f.file("hosts/h4.nix", "{ ... }: { system.stateVersion = \"26.05\"; }\n")
		f.nixos("h4", "{}")
		f.lab("up").want(t, 0)
		f.deploy().want(t, 0)
		f.wantConvened(t)
		f.hosts = f.hosts[:3]
		f.set("host h4", "")
		f.deploy().want(t, 0)
		f.wantConvened(t)
		if f.invocation("h1", agentUnit) != was {
			t.Error("the agent of h1 restarted")
		}
	})
	t.Run("a host without", func(t *testing.T) {
		f.file("hosts/h3.nix", "{ lib, ... }: { system.stateVersion = \"26.05\"; services.nixmesh.agent.enable = lib.mkForce false; }\n")
		f.deploy("--on", "h3").want(t, 0)
		f.ssh("h3", "systemctl is-active "+agentUnit+" nixmesh-agent.socket nixmesh-nodekey.service nixmesh-hostkey.path; true").want(t, 0).says(t, "inactive\ninactive\ninactive\ninactive")
		f.ssh("h3", "ls /run/nixmesh/api.sock /run/nixmesh/secrets/current/nixmesh-agent").want(t, 2)
		if r := f.ssh("h3", "systemctl --failed --plain --no-legend"); strings.TrimSpace(r.stdout) != "" {
			t.Errorf("failed: %s", r.stdout)
		}
	})
}
