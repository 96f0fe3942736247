package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
)

// testAgentsKilled kills every agent, and lets them start again, under traffic.
func (f *fleet) testAgentsKilled(t *testing.T, web *caller) {
	f.restartAgents(t)
	tr := f.traffic(t, web)
	before := f.agentPIDs()
	for _, host := range f.hosts {
		f.ssh(host, "systemctl kill -s KILL "+agentUnit).want(t, 0)
	}
	f.wantOtherAgents(t, before)
	tr.end(t)
	f.wantNothingSent(t)
}

// nextVersion is the version of the program that an upgrade brings.
const nextVersion = "0.1.1"

// testAgentsUpgraded deploys with another version of the program, whose agents take
// the place of those that run.
func (f *fleet) testAgentsUpgraded(t *testing.T, web *caller) {
	f.program = f.next()
	f.run("plan").want(t, 0) // builds it
	f.wantWhole(t)
	tr := f.traffic(t, web)
	before := f.agentPIDs()
	f.wantTaken(t, f.deploy())
	f.wantOtherAgents(t, before)
	tr.end(t)
	f.wantNothingSent(t)
	for _, host := range f.hosts {
		if s := f.status(t, host); s.Version != nextVersion {
			t.Errorf("the agent of %s: %+v", host, s)
		}
	}
}

// next builds the program as its next version, with the lab's services beside it.
func (f *fleet) next() string {
	f.t.Helper()
	dir := filepath.Join(f.dir, ".nixmesh", "next")
	if err := os.CopyFS(filepath.Join(dir, "lab-services"), os.DirFS(filepath.Join(filepath.Dir(binary(f.t)), "lab-services"))); err != nil {
		f.t.Fatal(err)
	}
	path := filepath.Join(dir, "nixmesh")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version="+nextVersion, "-o", path, "../../cmd/nixmesh")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		f.t.Fatalf("build the next version: %v: %s", err, out)
	}
	return path
}

// agentPIDs are the main processes of all agents, by host.
func (f *fleet) agentPIDs() map[string]string {
	f.t.Helper()
	pids := map[string]string{}
	for _, host := range f.hosts {
		pids[host] = f.agentPID(host)
	}
	return pids
}

// restartAgents has the agents of hosts, or of all, stop and start again when all is
// well: what they know is on their disks then. One that is killed leaves what it
// wrote some time before.
func (f *fleet) restartAgents(t *testing.T, hosts ...string) {
	t.Helper()
	if hosts == nil {
		hosts = f.hosts
	}
	f.wantWhole(t)
	before := f.agentPIDs()
	for _, host := range hosts {
		f.ssh(host, "systemctl restart "+agentUnit).want(t, 0)
	}
	f.wantOtherAgents(t, before, hosts...)
	f.wantWhole(t)
}

// wantOtherAgents waits until hosts, or all, have another agent than before, whose
// Envoy has its listeners and which agrees with the others.
func (f *fleet) wantOtherAgents(t *testing.T, before map[string]string, hosts ...string) {
	t.Helper()
	if hosts == nil {
		hosts = f.hosts
	}
	for _, host := range hosts {
		until(t, "another agent of "+host, func() bool {
			pid := f.agentPID(host)
			return pid != before[host] && pid != "0" && f.agent(host) != nil
		})
	}
	f.wantListening(t)
	f.wantConvened(t)
}

// wantNothingSent fails where an agent has sent its Envoy anything since it started.
func (f *fleet) wantNothingSent(t *testing.T) {
	t.Helper()
	for _, host := range f.hosts {
		counters := 0
		for name, value := range f.metrics(t, host) {
			if !strings.HasPrefix(name, "nixmesh_proxy_sent_resources_total") && !strings.HasPrefix(name, "nixmesh_proxy_removed_resources_total") {
				continue
			}
			counters++
			if value != "0" {
				t.Errorf("%s: %s is %s", host, name, value)
			}
		}
		if counters < 8 {
			t.Errorf("%s has %d counters of what it sent", host, counters)
		}
	}
}

// testLeafRotated gives both ends of all calls new certificates, under traffic.
func (f *fleet) testLeafRotated(t *testing.T, web *caller) {
	f.wantWhole(t)
	tr := f.traffic(t, web)
	services := map[string][]string{"h1": {"web", "split"}, "h2": {"split", "pipe", "narrow"}, "h3": {"split"}}
	before := map[string]agentapi.Cert{}
	for _, host := range f.hosts {
		rm := "cd /var/lib/nixmesh/agent/certs && rm"
		for _, service := range services[host] {
			before[host+" "+service] = f.wantLeaf(t, host, service, nil)
			rm += " svc-" + service + ".v1"
		}
		f.ssh(host, rm+" && systemctl restart "+agentUnit).want(t, 0)
	}
	for _, host := range f.hosts {
		for _, service := range services[host] {
			f.wantLeaf(t, host, service, later(before[host+" "+service]))
		}
	}
	f.wantListening(t)
	tr.end(t)
	f.wantConvened(t)
	f.wantWhole(t)
}
