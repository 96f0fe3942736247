package controlplane

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// enoughCalls is how many a load makes at least, however slow the machine is.
const enoughCalls = 20

// load calls again and again until the returned function, which says how many
// calls there were, and which went wrong.
func (m *meshed) load() func() (n int, wrong []string) {
	var over atomic.Bool
	type result struct {
		n     int
		wrong []string
	}
	done := make(chan result, 1)
	m.t.Cleanup(func() { over.Store(true) })
	go func() {
		var r result
		for !over.Load() || r.n < enoughCalls {
			if got := m.call(); !strings.HasPrefix(got, "200 ") {
				r.wrong = append(r.wrong, got)
			}
			r.n++
			time.Sleep(5 * time.Millisecond)
		}
		done <- r
	}()
	return func() (int, []string) {
		over.Store(true)
		r := <-done
		return r.n, r.wrong
	}
}

// sent is how much an agent sent to its Envoy since its start.
func (m *meshed) sent(host string) (resources, removals uint64) {
	for _, t := range xds.Types() {
		c := m.hosts[host].agent.proxy.server.Status().Types[t]
		resources, removals = resources+c.Resources, removals+c.Removals
	}
	return resources, removals
}

// The life of a fleet with Envoys: agents come and go, hosts boot, instances fall
// ill, and a port is taken.
func TestEnvoyLife(t *testing.T) {
	m := newMeshed(t, 3)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()

	t.Run("agents restart", m.agentsRestart)
	t.Run("an instance falls ill", m.instanceFallsIll)
	t.Run("the catalog is lost", m.catalogIsLost)
	t.Run("a host boots alone", m.bootsAlone)
	t.Run("a port is taken", m.portIsTaken)
}

// Agents that restart send nothing that Envoy has, and nobody notices.
func (m *meshed) agentsRestart(t *testing.T) {
	stop := m.load()
	for _, name := range m.names {
		m.hosts[name].stop()
	}
	time.Sleep(300 * time.Millisecond) // some calls without agents
	m.startAll()
	m.ready()
	n, wrong := stop()
	if len(wrong) > 0 {
		t.Errorf("%d of %d calls failed: %q", len(wrong), n, wrong[:min(5, len(wrong))])
	}
	for _, name := range m.names {
		if resources, removals := m.sent(name); resources+removals > 0 {
			t.Errorf("%s sent %d resources and %d removals: %+v", name, resources, removals, m.hosts[name].agent.proxy.server.Status().Types)
		}
	}
	t.Logf("%d calls", n)
}

// said is what the Envoy of h000 says of api on a host.
func (m *meshed) said(t *testing.T, host string) string {
	for _, call := range m.hosts["h000"].agent.Endpoints(t.Context()).Calls {
		for _, e := range call.Endpoints {
			if e.Host == host && e.Envoy != nil {
				return e.Envoy.Health
			}
		}
	}
	return ""
}

// avoids waits until the Envoy of h000 calls api on one host no more, and fails where
// another one's answers are not all that come then.
func (m *meshed) avoids(t *testing.T, host, other string) {
	t.Helper()
	m.eventually(testPatience, func() string {
		if got := m.said(t, host); got != agentapi.EndpointUnhealthy {
			return "the caller's Envoy says it is " + got
		}
		return ""
	})
	for range 10 {
		if got := m.call(); got != "200 "+other {
			t.Errorf("a call gives %q", got)
		}
	}
}

// What the agent of one host sees of its instance reaches the Envoy of another.
func (m *meshed) instanceFallsIll(t *testing.T) {
	for _, health := range []string{agentapi.EndpointUnhealthy, agentapi.EndpointHealthy} {
		m.hosts["h001"].sick("api", health == agentapi.EndpointUnhealthy)
		m.eventually(testPatience, func() string {
			if got := m.endpoint("h001", "api", "h001").State; got != health {
				return "its own agent sees it " + got
			}
			return ""
		})
		began := time.Now()
		m.eventually(testPatience, func() string {
			if got := m.said(t, "h001"); got != health {
				return fmt.Sprintf("Envoy says it is %q, want %q", got, health)
			}
			return ""
		})
		t.Logf("%s after %s", health, time.Since(began))
		if want := map[string]bool{agentapi.EndpointUnhealthy: true}[health]; want {
			for range 10 {
				if got := m.call(); got != "200 h002" {
					t.Errorf("a call gives %q", got)
				}
			}
		}
	}
}

// An agent that lost what it knew of others, and hears nobody, takes nothing away
// for a while.
func (m *meshed) catalogIsLost(t *testing.T) {
	for _, name := range m.names {
		m.hosts[name].stop()
	}
	if err := os.Remove(m.hosts["h000"].file("state/" + fileCatalog)); err != nil {
		t.Fatal(err)
	}
	a := m.hosts["h000"].start()
	m.eventually(testPatience, func() string {
		if s := a.proxy.status(); !s.Connected || s.Held == "" {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	if got := m.call(); !strings.HasPrefix(got, "200 ") {
		t.Errorf("while its agent knows nobody a call gives %q", got)
	}
	m.hosts["h001"].start()
	m.hosts["h002"].start()
	m.ready()
	if resources, removals := m.sent("h000"); resources+removals > 0 {
		t.Errorf("it sent %d resources and %d removals", resources, removals)
	}
}

// A host whose agent hears nobody serves from its disk.
func (m *meshed) bootsAlone(t *testing.T) {
	for _, name := range m.names {
		m.hosts[name].stop()
	}
	m.stopEnvoy("h000")
	m.hosts["h000"].boot++
	m.hosts["h000"].start()
	began := time.Now()
	m.startEnvoy("h000")
	m.eventually(testPatience, func() string {
		if got := m.call(); !strings.HasPrefix(got, "200 ") {
			return got
		}
		return ""
	})
	t.Logf("serves %s after Envoy's start", time.Since(began))
	m.startAll()
	m.ready()
}

// A port that somebody else has is told of, and taken once it is free.
func (m *meshed) portIsTaken(t *testing.T) {
	m.stopEnvoy("h000")
	thief := must(net.Listen("tcp", fmt.Sprintf("127.65.0.1:%d", m.edge)))(t)
	m.startEnvoy("h000")
	a := m.hosts["h000"].agent
	m.eventually(testPatience, func() string {
		for _, p := range a.Status().Problems {
			if strings.Contains(p.What, "out:web:api") && strings.Contains(p.What, "in use") && strings.Contains(p.What, "web -> api") {
				t.Log(p.What)
				return ""
			}
		}
		return fmt.Sprintf("problems: %+v, proxy %+v", a.Status().Problems, a.proxy.status())
	})
	if err := thief.Close(); err != nil {
		t.Fatal(err)
	}
	m.eventually(testPatience, func() string {
		if got := m.call(); !strings.HasPrefix(got, "200 ") {
			return got
		}
		return m.proxied("h000")
	})
	for _, p := range a.Status().Problems {
		if strings.Contains(p.What, "out:web:api") {
			t.Errorf("it is still a problem: %s", p.What)
		}
	}
}
