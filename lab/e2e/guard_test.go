package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixmesh/nixmesh/guard"
	"github.com/nixmesh/nixmesh/internal/testkit/labuser"
)

// guarded is what the guard of a caller's host says.
func (c *caller) guarded(t *testing.T) *guard.Report {
	t.Helper()
	r, err := guard.ReadReport(fmt.Sprintf("/proc/%d/root%s", c.PID, guard.ReportPath))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantGuarded waits for what the guard of a caller's host says.
func (c *caller) wantGuarded(t *testing.T, what string, ok func(*guard.Report) bool) *guard.Report {
	t.Helper()
	var r *guard.Report
	until(t, what, func() bool {
		var err error
		r, err = guard.ReadReport(fmt.Sprintf("/proc/%d/root%s", c.PID, guard.ReportPath))
		return err == nil && ok(r)
	})
	return r
}

// silent fails unless nothing comes back from an address.
func (c *caller) silent(t *testing.T, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	conn, err := c.DialContext(ctx, "tcp", address)
	if err == nil {
		conn.Close()
	}
	if timeout := net.Error(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%s dials %s: %v, want no answer", c, address, err)
	}
}

// listen takes a port as a user, until the test ends or the listener is closed.
func (c *caller) listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := labuser.In(c.PID, func() (net.Listener, error) {
		if _, err := unix.SetfsuidRetUid(c.UID); err != nil {
			return nil, err
		}
		return net.Listen("tcp4", address)
	})
	if err != nil {
		t.Fatalf("%s takes %s: %v", c, address, err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// TestGuard: who may connect where on a host is the kernel's to say, whatever
// becomes of Envoy, of the agent, and of the host's other tables.
func TestGuard(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2")
	f.file("hosts/h1.nix", `{ ... }: {
  system.stateVersion = "26.05";
  networking.firewall.enable = false;
  services.redis.servers.shop = { enable = true; port = 6379; };
}
`)
	// A firewall that flushes what it does not know.
	f.file("hosts/h2.nix", "{ ... }: { system.stateVersion = \"26.05\"; networking.nftables.flushRuleset = true; }\n")
	f.set("service cache", "service \"cache\" {\n  on = [\"h1\"]\n  unit = \"redis-shop.service\"\n  listen \"redis\" { port = 6379 }\n}")
	f.set("service old", "service \"old\" {\n  on = [\"*\"]\n  package = \"web\"\n  exec = \"bin/web --listen 0.0.0.0:$PORT\"\n  mtls = \"permissive\"\n  listen \"http\" { port = 8080 }\n}")
	f.set("service api", "service \"api\" {\n  on = [\"*\"]\n  package = \"web\"\n  exec = \"bin/web --listen 0.0.0.0:$PORT\"\n  listen \"http\" {}\n  check { http = \"/healthz\" }\n}")
	// Calls go on beside deploys, when all are busy.
	f.service("web", `  upstream "api" {
    timeout         = "60s"
    connect_timeout = "20s"
  }
  upstream "cache" {}`)
	f.service("stranger", "  egress = \"open\"")
	f.deploy().want(t, 0)
	web := f.as("h1", "nm-web")
	web.wantStatus(t, "http://api.mesh/", 200)

	t.Run("units", func(t *testing.T) { f.testGuardUnits(t) })
	t.Run("rules", func(t *testing.T) { f.testGuardRules(t) })
	t.Run("foreign firewalls", func(t *testing.T) { f.testForeignFirewalls(t) })
	t.Run("dead owners", func(t *testing.T) { f.testDeadOwners(t) })
	t.Run("deploys", func(t *testing.T) { f.testGuardDeploys(t) })
	t.Run("stopped", func(t *testing.T) { f.testGuardStopped(t) })
}

func (f *fleet) testGuardUnits(t *testing.T) {
	r := f.as("h1", "root").wantGuarded(t, "a table and its copy", func(r *guard.Report) bool { return r.Copy && r.Table != "" })
	if r.Restored != 0 || r.Error != "" {
		t.Errorf("the guard of a new host says %+v", r)
	}
	// The user of redis has no number in the spec, and one on the host.
	f.ssh("h1", `nft list set inet nixmesh app_owner | grep -q "6379 \. $(id -u redis-shop)"`).want(t, 0)
	f.ssh("h1", "systemctl show -p Requires,After web.service redis-shop.service nixmesh-envoy.service | grep -c nixmesh-guard.service").want(t, 0).says(t, "6")
	if r := f.ssh("h1", "cd /etc/systemd/system && systemd-analyze verify --man=no nixmesh-guard.service nixmesh-guard-watch.service"); r.code != 0 || r.stdout+r.stderr != "" {
		t.Errorf("systemd on the units: %s", r)
	}
	t.Log(f.ssh("h1", "systemd-analyze security --no-pager nixmesh-guard.service | tail -1; systemd-analyze security --no-pager nixmesh-guard-watch.service | tail -1; systemctl show -p MemoryCurrent nixmesh-guard-watch").stdout)
	f.ssh("h1", "cat /etc/nixmesh/host.json").says(t, `"nixmesh-guard.service"`, `"nixmesh-guard-watch.service"`)
	f.ssh("h1", "setpriv --reuid=nm-web --clear-groups cat "+guard.ReportPath).want(t, 0)
}

func (f *fleet) testGuardRules(t *testing.T) {
	h1, h2 := f.address(0), f.address(1)
	api := fmt.Sprint(f.port("api"))
	web, stranger, root := f.as("h1", "nm-web"), f.as("h1", "nm-stranger"), f.as("h1", "root")
	owner, envoy, agent := f.as("h1", "nm-api"), f.as("h1", "nixmesh-envoy"), f.as("h1", "nixmesh-agent")
	before := f.as("h1", "root").guarded(t).Counts

	for _, c := range []*caller{stranger, root, owner, envoy, agent} {
		c.refused(t, "api.mesh:80")
		c.refused(t, "[::ffff:127.64.0.1]:80")
		c.refused(t, "127.65.0.1:15900")
	}
	web.refused(t, "api.mesh:81")
	web.refused(t, "127.65.0.1:15900")
	for _, at := range []string{"127.0.0.1:" + api, h1 + ":" + api, "[::ffff:127.0.0.1]:" + api, "127.0.0.1:6379"} {
		for _, c := range []*caller{web, stranger, root} {
			c.refused(t, at)
		}
	}
	for _, c := range []*caller{owner, envoy, agent} {
		if s := c.get("http://127.0.0.1:" + api + "/healthz"); s.status != 200 {
			t.Errorf("%s asks the application: %s", c, s)
		}
	}
	// h1 has no firewall: the table alone keeps other machines from applications.
	f.as("h2", "root").silent(t, h1+":"+api)
	f.as("h2", "root").wantStatus(t, "http://"+h1+":8080/", 200)
	stranger.wantStatus(t, "http://127.0.0.1:8080/", 200)
	for _, c := range []*caller{web, stranger} {
		conn, err := c.DialContext(t.Context(), "udp", "api.mesh:80")
		if err == nil {
			_, err = conn.Write([]byte("x"))
			conn.Close()
		}
		if !errors.Is(err, syscall.EPERM) {
			t.Errorf("%s sends to a mesh name: %v", c, err)
		}
	}
	// egress: what it declared, and nothing else.
	web.refused(t, h2+":22")
	if conn, err := stranger.DialContext(t.Context(), "tcp", h2+":22"); err != nil {
		t.Errorf("egress = \"open\": %v", err)
	} else {
		conn.Close()
	}
	web.wantStatus(t, "http://api.mesh/", 200)

	f.as("h1", "root").wantGuarded(t, "counts of what was refused", func(r *guard.Report) bool {
		c := r.Counts
		return c.Undeclared >= before.Undeclared+17 && c.AppDenied == before.AppDenied+12 && c.EgressDenied > before.EgressDenied && c.Outside > before.Outside && c.Plaintext > before.Plaintext && c.Squatted == 0
	})
}

// testForeignFirewalls lets others flush, reload and restart, while somebody who may
// not tries to get through.
func (f *fleet) testForeignFirewalls(t *testing.T) {
	for _, c := range []struct{ host, what string }{
		{"h1", "nft flush ruleset"}, {"h1", "nft delete table inet nixmesh"}, {"h1", "nft insert rule inet nixmesh output accept"},
		{"h2", "systemctl reload nftables"}, {"h2", "systemctl restart nftables"}, {"h2", "systemctl stop nftables"}, {"h2", "systemctl start nftables"},
	} {
		root, stranger := f.as(c.host, "root"), f.as(c.host, "nm-stranger")
		before := root.guarded(t)
		stop, done := make(chan struct{}), make(chan int)
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					done <- n
					return
				default:
					// Old listens on 0.0.0.0: what is sent nowhere by the table gets there.
					stranger.refused(t, "api.mesh:8080")
				}
			}
		}()
		f.ssh(c.host, c.what).want(t, 0)
		r := root.wantGuarded(t, "the table after "+c.what, func(r *guard.Report) bool { return r.Loaded.After(before.Loaded) && r.Copy })
		close(stop)
		tried := <-done
		took := time.Duration(0)
		if r.Last != nil {
			took = time.Duration(r.Last.Took) * time.Microsecond
		}
		t.Logf("%s: %s, restored %d times, %s; refused %d times meanwhile", c.host, c.what, r.Restored-before.Restored, took, tried)
		until(t, "both tables after "+c.what, func() bool { // who flushes twice has it restored twice
			r := f.ssh(c.host, "nft list tables")
			return r.code == 0 && strings.Contains(r.stdout, "inet nixmesh\n") && strings.Contains(r.stdout, "inet nixmesh_copy")
		})
		f.as(c.host, "nm-web").wantStatus(t, "http://api.mesh/", 200)
	}
	// A guard that is killed leaves the table, and comes back.
	pid := strings.TrimSpace(f.ssh("h1", "systemctl show -p MainPID --value nixmesh-guard-watch").stdout)
	f.ssh("h1", "kill -9 "+pid+"; nft list table inet nixmesh >/dev/null").want(t, 0)
	f.as("h1", "nm-stranger").refused(t, "api.mesh:8080")
	f.as("h1", "root").wantGuarded(t, "a new guard", func(r *guard.Report) bool { return r.Copy && r.Restored == 0 })
}

func (f *fleet) testDeadOwners(t *testing.T) {
	web, stranger := f.as("h1", "nm-web"), f.as("h1", "nm-stranger")
	f.ssh("h1", "systemctl stop nixmesh-envoy").want(t, 0)
	web.refused(t, "api.mesh:80")
	var squatters []net.Listener
	for port := 15900; port < 15902; port++ {
		squatters = append(squatters, stranger.listen(t, fmt.Sprintf("0.0.0.0:%d", port)))
	}
	web.silent(t, "api.mesh:80")
	for _, l := range squatters {
		l.Close()
	}
	f.ssh("h1", "systemctl start nixmesh-envoy").want(t, 0)
	web.wantStatus(t, "http://api.mesh/", 200)

	f.ssh("h1", "systemctl stop api").want(t, 0)
	squatter := stranger.listen(t, fmt.Sprintf("127.0.0.1:%d", f.port("api")))
	f.as("h1", "nixmesh-envoy").silent(t, fmt.Sprintf("127.0.0.1:%d", f.port("api")))
	web.wantStatus(t, "http://api.mesh/", 200) // the other host's
	squatter.Close()
	f.ssh("h1", "systemctl start api").want(t, 0)
	f.as("h1", "root").wantGuarded(t, "squatters", func(r *guard.Report) bool { return r.Counts.Squatted > 0 })
}

// testGuardDeploys: a switch to another table has no moment without one, and one
// that cannot be loaded is no switch.
func (f *fleet) testGuardDeploys(t *testing.T) {
	before := f.as("h1", "root").guarded(t)
	stop, done := make(chan struct{}), make(chan int)
	stranger, web := f.as("h1", "nm-stranger"), f.as("h1", "nm-web")
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- n
				return
			default:
				stranger.refused(t, "api.mesh:8080")
				client := web.Client(false) // with a connection of its own
				client.Timeout = loadTime
				if s := one(client, http.MethodGet, "http://api.mesh/"); s.status != 200 {
					t.Errorf("a call during a deploy: %s", s)
				}
				client.CloseIdleConnections()
			}
		}
	}()
	f.service("stranger", "  egress = \"open\"\n  upstream \"api\" {}")
	f.deploy().want(t, 0)
	close(stop)
	t.Logf("%d refusals and calls during a deploy", <-done)
	r := f.as("h1", "root").wantGuarded(t, "the new table", func(r *guard.Report) bool { return r.Table != before.Table && r.Copy })
	if r.Restored != 0 {
		t.Errorf("the guard takes a switch for somebody else's change: %+v", r.Last)
	}
	stranger.wantStatus(t, "http://api.mesh/", 200)
	until(t, "the log says that it was reloaded", func() bool {
		return strings.Contains(f.ssh("h1", "journalctl -q -o cat -u nixmesh-guard.service").stdout, "Reloaded")
	})

	old := f.systems("h1")
	f.file("hosts/h2.nix", "{ ... }: { system.stateVersion = \"26.05\"; }\n")
	good, err := os.ReadFile(filepath.Join(f.dir, "hosts/h1.nix"))
	if err != nil {
		t.Fatal(err)
	}
	f.file("hosts/h1.nix", `{ lib, pkgs, ... }: {
  system.stateVersion = "26.05";
  networking.firewall.enable = false;
  services.redis.servers.shop = { enable = true; port = 6379; };
  environment.etc."nixmesh/guard.nft".source = lib.mkForce (pkgs.writeText "guard.nft" "table inet nixmesh { set s { type uid; elements = { nobody-knows } } }\n");
  systemd.services.nixmesh-guard-watch.restartTriggers = [ "other" ];
}
`)
	f.deploy("--confirm", "30s").want(t, 4).says(t, "nixmesh-guard-watch.service", "rolled back")
	f.wantSettled("h1", old.current)
	f.as("h1", "root").wantGuarded(t, "the table of before", func(now *guard.Report) bool { return now.Table == r.Table && now.Copy })
	f.file("hosts/h1.nix", string(good))
}

// testGuardStopped: without a table nothing of nixmesh runs, and a boot begins with one.
func (f *fleet) testGuardStopped(t *testing.T) {
	root := f.as("h2", "root")
	f.ssh("h2", "systemctl stop nixmesh-guard; systemctl is-active web.service api.service nixmesh-envoy.service nixmesh-guard-watch.service; nft list tables").says(t, "inactive\ninactive\ninactive\ninactive\n")
	if out := f.ssh("h2", "nft list tables").want(t, 0).stdout; strings.Contains(out, "nixmesh") {
		t.Errorf("it leaves %s", out)
	}
	f.ssh("h2", "systemctl start web.service; nft list tables").want(t, 0).says(t, "inet nixmesh\n")
	root.wantGuarded(t, "its guard", func(r *guard.Report) bool { return r.Copy })

	const started = "systemctl show -P UserspaceTimestampMonotonic"
	before := f.ssh("h2", started).want(t, 0).stdout
	f.ssh("h2", "systemctl start --no-block reboot.target")
	until(t, "h2 is up again", func() bool {
		r := f.ssh("h2", started+"; systemctl is-active nixmesh-envoy.service web.service api.service")
		return r.code == 0 && !strings.HasPrefix(r.stdout, before)
	})
	times := strings.Fields(f.ssh("h2", "systemctl show -P ActiveEnterTimestampMonotonic nixmesh-guard; systemctl show -P ExecMainStartTimestampMonotonic nixmesh-envoy web api").want(t, 0).stdout)
	for i, at := range times[1:] {
		if len(at) < len(times[0]) || len(at) == len(times[0]) && at < times[0] {
			t.Errorf("the table is there at %s us, and the %dth service starts at %s", times[0], i+1, at)
		}
	}
	f.as("h2", "nm-stranger").refused(t, fmt.Sprintf("127.0.0.1:%d", f.port("api")))
	f.as("h2", "root").wantGuarded(t, "its guard", func(r *guard.Report) bool { return r.Copy && r.Restored == 0 })
	f.as("h2", "nm-web").wantStatus(t, "http://api.mesh/", 200)
}
