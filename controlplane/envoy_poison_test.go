package controlplane

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/mesh"
)

// A document that makes a build fail is named, and Envoy does as before, also one
// that was started since; what else changed goes on to reach it.
func TestEnvoyPoison(t *testing.T) {
	m := newMeshed(t, 2)
	fails := func(in *xds.Input) *xds.Output {
		if in.Config.Services["poison"] != nil {
			panic("poison")
		}
		return xds.Build(in)
	}
	for _, name := range m.names {
		m.hosts[name].hook = func(a *Agent) { a.proxy.compute = fails }
		m.hosts[name].stop()
		m.hosts[name].start()
		m.startEnvoy(name)
	}
	m.ready()
	if got := m.call(); got != "200 h001" {
		t.Fatalf("the call gives %q", got)
	}
	m.config.Services["poison"] = &mesh.Service{Versions: []mesh.Version{{Hosts: mesh.Names{"h001"}}}, Instances: 1, MTLS: "strict"}
	m.apply("h000")
	named := func() string {
		for _, p := range m.hosts["h000"].agent.Status().Problems {
			if strings.Contains(p.What, fmt.Sprintf("version %d by anna could not be built for Envoy", m.document.Version)) {
				return ""
			}
		}
		return fmt.Sprintf("problems: %+v", m.hosts["h000"].agent.Status().Problems)
	}
	m.eventually(testPatience, named)
	if got := m.call(); got != "200 h001" {
		t.Errorf("after the poison the call gives %q", got)
	}

	// Both start anew: it is not the first set that is the poisoned one.
	m.hosts["h000"].stop()
	m.stopEnvoy("h000")
	m.hosts["h000"].start()
	m.startEnvoy("h000")
	m.eventually(testPatience, func() string {
		if got := m.call(); got != "200 h001" {
			return got
		}
		return named()
	})
	delete(m.config.Services, "poison")
	m.apply("h000")
	m.eventually(testPatience, func() string {
		if s := m.hosts["h000"].agent.Status(); s.Proxy.Built != m.document.Version || named() == "" {
			return fmt.Sprintf("built %d: %+v", s.Proxy.Built, s.Problems)
		}
		return ""
	})
}

// A certificate that was lost on disk is asked for again, and until then Envoy
// keeps the one that it has: with each the calls go on.
func TestEnvoyRotation(t *testing.T) {
	m := newMeshed(t, 2)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()
	leaf := func(host, service string) string {
		l, ok := m.hosts[host].agent.certificates.keeper.Leaf(service)
		if !ok {
			return ""
		}
		return l.Chain[0].SerialNumber.String()
	}
	stop := m.load()
	for range 2 {
		for host, service := range map[string]string{"h000": "web", "h001": "api"} {
			before := leaf(host, service)
			m.hosts[host].stop()
			if err := os.Remove(m.hosts[host].file("state/certs/svc-" + service + ".v1")); err != nil {
				t.Fatal(err)
			}
			m.hosts[host].start()
			m.eventually(testPatience, func() string {
				if now := leaf(host, service); now == "" || now == before {
					return "no new leaf of " + service
				}
				if missing := m.proxied(host); missing != "" {
					return missing
				}
				if p := m.hosts[host].agent.proxy; !p.caughtUp() || p.server.Status().Types[xds.Secret].Resources == 0 {
					return "the Envoy of " + host + " does not have the new leaf"
				}
				return ""
			})
			if sent := m.hosts[host].agent.proxy.server.Status().Types[xds.Secret]; sent.Resources != 1 || sent.Removals != 0 {
				t.Errorf("%s sent %+v for a new leaf", host, sent)
			}
		}
	}
	if n, wrong := stop(); len(wrong) > 0 {
		t.Errorf("%d of %d calls failed: %q", len(wrong), n, wrong[:min(5, len(wrong))])
	} else {
		t.Logf("%d calls", n)
	}
}
