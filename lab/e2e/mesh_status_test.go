package e2e

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// meshStatus is what `mesh status -o json` says.
type meshStatus struct {
	Schema    string           `json:"schema"`
	Host      string           `json:"host"`
	View      *agentapi.Status `json:"view"`
	Attention []struct {
		Why string `json:"why"`
	} `json:"attention"`
	Unhealthy bool `json:"unhealthy"`
}

// meshStatus waits until mesh status ends with a code and says what it should:
// what agents know of each other comes by and by.
func (f *fleet) meshStatus(t *testing.T, code int, fits func(meshStatus) bool, more ...string) {
	t.Helper()
	var r result
	if !within(patience, func() bool {
		var s meshStatus
		r = f.run(append([]string{"mesh", "status", "-o", "json"}, more...)...)
		err := json.Unmarshal([]byte(r.stdout), &s)
		return err == nil && r.code == code && s.Schema == "nixmesh.mesh-status/1" && fits(s)
	}) {
		t.Fatalf("mesh status is not as it should be after %s, with exit %d: %s", patience, code, r)
	}
}

// TestMeshStatus: what people read of the mesh, through hosts and agents that
// are gone.
func TestMeshStatus(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "h1", "h2", "h3")
	f.deploy().want(t, 0)
	f.wantWhole(t)
	f.eventually(t, 0, []string{"mesh", "certs"})
	f.eventually(t, 0, []string{"status"})

	t.Run("well", func(t *testing.T) {
		f.meshStatus(t, 0, func(s meshStatus) bool {
			return !s.Unhealthy && s.Host == "h1" && len(s.View.Hosts) == 3 && len(s.View.Services) == 1 && s.View.Services[0].Ready == 3
		})
		f.meshStatus(t, 0, func(s meshStatus) bool { return s.Host == "h3" }, "h3")
		f.eventually(t, 0, []string{"mesh", "status"}, "on 3 of 3 hosts", "services 1/1 ready", "as h1 sees it")
		f.eventually(t, 0, []string{"mesh", "status", "-o", "wide"}, f.address(1), "STANDING")
		f.eventually(t, 0, []string{"mesh", "certs"}, "certs ok 71 h", "web ", "h1 h2 h3", "e2e CA (root ")
		f.eventually(t, 0, []string{"status"}, "GOSSIP", "certs ok 71 h", "web      3/3")
		f.eventually(t, 0, []string{"status", "h2"}, "gossip    alive", "web      1/1    healthy")
	})
	t.Run("who may write", func(t *testing.T) {
		put := "curl -s -o /dev/null -w '%{http_code}' --max-time 60 --unix-socket /run/nixmesh/api.sock -T /dev/null http://agent" + agentapi.PathOverride
		// The body is empty: whoever may write is told so.
		f.ssh("h1", put).want(t, 0).says(t, "400")
		f.ssh("h1", "setpriv --reuid deploy --regid deploy --init-groups "+put).want(t, 0).says(t, "400")
		f.ssh("h1", "chmod 666 /run/nixmesh/api.sock; setpriv --reuid nobody --regid nogroup --clear-groups "+put+"; chmod 660 /run/nixmesh/api.sock").want(t, 0).says(t, "403")
	})
	t.Run("watch", func(t *testing.T) {
		watch := f.startDeploy("mesh", "watch", "h1", "-o", "json")
		until(t, "h1 is watched", func() bool {
			return f.ssh("h1", `curl -s --unix-socket /run/nixmesh/api.sock http://agent/metrics | grep -q '^nixmesh_api_watches 1'`).code == 0
		})
		f.ssh("h2", "systemctl stop web.service").want(t, 0)
		f.meshStatus(t, 1, func(s meshStatus) bool { return s.Unhealthy }, "h1")
		f.eventually(t, 1, []string{"mesh", "status"}, "unhealthy on h2", "web on h2: unhealthy", "web.service is not running")
		f.ssh("h2", "systemctl start web.service").want(t, 0)
		f.eventually(t, 0, []string{"mesh", "status", "h1"})
		until(t, "it is told", func() bool { return strings.Contains(watch.stdout.String(), `"state":"healthy"`) })
		if err := watch.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Error(err)
		}
		watch.wait().want(t, 130).says(t, `"kind":"service","host":"h2","service":"web","state":"unhealthy"`, `"state":"healthy"`)
	})
	t.Run("one agent is left", func(t *testing.T) {
		for _, host := range []string{"h1", "h2"} {
			f.ssh(host, "systemctl stop nixmesh-agent.socket "+agentUnit).want(t, 0)
		}
		f.meshStatus(t, 1, func(s meshStatus) bool {
			return s.Host == "h3" && s.View.Document != nil && slices.ContainsFunc(s.Attention, func(a struct {
				Why string `json:"why"`
			}) bool {
				return strings.Contains(a.Why, "h1") && strings.Contains(a.Why, "h2") && strings.Contains(a.Why, "no agent runs there")
			})
		})
		f.run("mesh", "status", "h1").want(t, 7).says(t, "no agent answers")
		f.run("status").want(t, 1).says(t, "h1: nixmesh-agent.service is inactive", "web      ")
		f.ssh("h3", "systemctl stop nixmesh-agent.socket "+agentUnit).want(t, 0)
		f.run("mesh", "status").want(t, 7)
		f.run("mesh", "certs").want(t, 7)
		f.run("mesh", "watch").want(t, 7)
		for _, host := range f.hosts {
			f.ssh(host, "systemctl start nixmesh-agent.socket "+agentUnit).want(t, 0)
		}
		f.wantConvened(t)
	})
	t.Run("all other hosts are off", func(t *testing.T) {
		for _, host := range []string{"h1", "h3"} {
			f.lab("break", host, "--power", "--no-boot").want(t, 0)
		}
		began := time.Now()
		f.meshStatus(t, 1, func(s meshStatus) bool { return s.Host == "h2" })
		t.Logf("h2 was found after %.1f s", time.Since(began).Seconds())
		f.run("status").want(t, 7).says(t, "GOSSIP", "unreachable")
		f.lab("heal").want(t, 0)
		f.wantWhole(t)
		f.eventually(t, 0, []string{"mesh", "status"})
	})
}
