package controlplane

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/mesh"
)

// told tells what is missing until a host says of api on itself that it is in a state
// for a reason.
func (m *meshed) told(host, state, reason string) func() string {
	return func() string {
		if got := m.endpoint(host, "api", host); got.State != state || got.Reason != reason {
			return fmt.Sprintf("%s says of itself that api is %q since %q, want %q since %q", host, got.State, got.Reason, state, reason)
		}
		return ""
	}
}

// records is the number of what a host said last.
func (m *meshed) records(host string) uint64 {
	var seq uint64
	m.hosts[host].agent.live.look(func(c *catalog.Catalog, _ *mesh.Config, _ time.Time) {
		if r := c.Record(host, catalog.Key{Kind: catalog.KindService, Name: "api"}); r != nil {
			seq = r.Seq
		}
	})
	return seq
}

// A host whose Envoy takes no calls says so of its services, and is called again when
// it does; that agents restart, or that Envoy does within a moment, is no news.
func TestEnvoyAway(t *testing.T) {
	m := newMeshed(t, 3)
	m.eventually(testPatience, m.told("h001", agentapi.EndpointUnhealthy, "its Envoy does not run"))
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()

	t.Run("agent restarts", func(t *testing.T) {
		m.hosts["h001"].stop()
		a := m.hosts["h001"].start()
		began := time.Now()
		m.eventually(testPatience, func() string {
			if e := m.endpoint("h000", "api", "h001"); e.State == agentapi.EndpointUnhealthy || e.Reason != "" {
				t.Fatalf("h000 sees %+v", e)
			}
			if s := a.proxy.status(); !s.Settled || time.Since(began) < 3*time.Second {
				return fmt.Sprintf("%+v", s)
			}
			return m.whole()
		})
	})
	t.Run("restarts at once", func(t *testing.T) {
		before := m.records("h001")
		m.stopEnvoy("h001")
		m.startEnvoy("h001")
		began := time.Now()
		m.eventually(testPatience, func() string { return m.proxied("h001") })
		took := time.Since(began)
		t.Logf("it was away for %s", took)
		if after := m.records("h001"); after != before && took < awayTime/2 {
			t.Errorf("%d records of an Envoy that was away for %s", after-before, took)
		}
		m.eventually(testPatience, m.state("api", "h001", agentapi.EndpointHealthy))
	})
	t.Run("stays away", func(t *testing.T) {
		m.stopEnvoy("h001")
		took := m.eventually(testPatience, m.state("api", "h001", agentapi.EndpointUnhealthy))
		if got := m.endpoint("h000", "api", "h001").Reason; got != "its Envoy does not run" {
			t.Errorf("h000 knows the reason %q", got)
		}
		t.Logf("all know after %s", took)
		m.avoids(t, "h001", "h002")
		m.startEnvoy("h001")
		took = m.eventually(testPatience, m.state("api", "h001", agentapi.EndpointHealthy))
		t.Logf("all know that it is back after %s", took)
	})
	t.Run("begins again and again", func(t *testing.T) {
		m.stopEnvoy("h001")
		m.eventually(testPatience, m.state("api", "h001", agentapi.EndpointUnhealthy))
		m.hosts["h001"].stop()
		m.hosts["h001"].boot++
		a := m.hosts["h001"].start()
		m.eventually(testPatience, m.told("h001", agentapi.EndpointUnhealthy, "its Envoy does not run"))
		m.startEnvoy("h001")
		m.eventually(testPatience, m.state("api", "h001", agentapi.EndpointHealthy))
		if e := m.endpoint("h001", "api", "h001"); e.Flapping || a.proxy.server.AckedVersion(xds.Inbound()) == "" {
			t.Errorf("it is called healthy: %+v", e)
		}
	})
}

// Certificates that a host lost, and nobody gives again, stay in Envoy: what it serves
// goes on, and what it calls.
func TestEnvoyKeepsCertificates(t *testing.T) {
	m := newMeshed(t, 2)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()
	stop := m.load()
	for host, service := range map[string]string{"h000": "web", "h001": "api"} {
		m.hosts[host].stop()
		for _, lost := range []string{dirCerts + "/svc-" + service + ".v1", dirAuthority} {
			if err := os.RemoveAll(m.hosts[host].state(lost)); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.startAll()
	until := time.Now().Add(hollowTime + time.Second)
	m.eventually(testPatience, func() string {
		for host, service := range map[string]string{"h000": "web", "h001": "api"} {
			a := m.hosts[host].agent
			if _, ok := a.certificates.keeper.Leaf(service); ok {
				t.Fatal(service + " has a certificate again")
			}
			if s := a.proxy.status(); !s.Settled || s.Held != "" || time.Now().Before(until) {
				return fmt.Sprintf("%s: %+v", host, s)
			}
		}
		return m.whole()
	})
	for _, name := range m.names {
		if resources, removals := m.sent(name); resources+removals > 0 {
			t.Errorf("%s sent %d resources and %d removals: %+v", name, resources, removals, m.hosts[name].agent.proxy.server.Status().Types)
		}
		if found := m.hosts[name].agent.proxy.status().Problems; len(found) != 1 || !strings.Contains(found[0].Text, "goes on with its copy") {
			t.Errorf("problems of %s: %+v", name, found)
		}
	}
	n, wrong := stop()
	if len(wrong) > 0 {
		t.Errorf("%d of %d calls failed: %q", len(wrong), n, wrong[:min(5, len(wrong))])
	}

	// An Envoy that is started anew has none.
	m.stopEnvoy("h001")
	m.startEnvoy("h001")
	m.eventually(testPatience, m.told("h001", agentapi.EndpointUnhealthy, "it has no certificate yet"))
	// What is not of this host any more is taken from it, also the only copy.
	web, server := xds.Identity("web"), m.hosts["h000"].agent.proxy.server
	if has, known := server.Has(web); !has || !known {
		t.Fatal("the Envoy of h000 has no certificate of web")
	}
	m.config.Services["web"].Versions[0].Hosts = mesh.Names{"h001"}
	m.apply("h000")
	m.eventually(testPatience, func() string {
		if has, _ := server.Has(web); has || server.Status().Types[xds.Secret].Removals != 1 {
			return fmt.Sprintf("the Envoy of h000 has the certificate of web still: %+v", server.Status())
		}
		return ""
	})
}
