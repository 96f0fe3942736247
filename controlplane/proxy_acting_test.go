package controlplane

import (
	"fmt"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/mesh"
)

// Each agent knows of each host whether its Envoy acts on the document, too, and not
// only its agent.
func TestEnvoyActing(t *testing.T) {
	m := newMeshed(t, 2)
	m.hosts["h001"].hook = func(a *Agent) {
		a.proxy.compute = func(in *xds.Input) *xds.Output {
			if in.Config.Services["poison"] != nil {
				panic("poison")
			}
			return xds.Build(in)
		}
	}
	m.hosts["h001"].stop()
	m.hosts["h001"].start()
	want := func(what, first, second string) {
		t.Helper()
		m.eventually(testPatience, func() string {
			for _, name := range m.names {
				for i, h := range m.hosts[name].agent.Status().Hosts {
					if state := []string{first, second}[i]; h.Document == nil || h.Document.Version != m.document.Version || h.Envoy != state {
						return fmt.Sprintf("%s: %s sees %s on %+v as %q, want %q", what, name, h.Name, h.Document, h.Envoy, state)
					}
				}
			}
			return ""
		})
	}
	want("none was started", agentapi.EnvoyAway, agentapi.EnvoyAway)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	want("both were", agentapi.EnvoyActs, agentapi.EnvoyActs)
	m.stopEnvoy("h001")
	want("one was ended", agentapi.EnvoyActs, agentapi.EnvoyAway)
	m.apply("h000")
	want("and a document came", agentapi.EnvoyActs, agentapi.EnvoyAway)
	m.startEnvoy("h001")
	want("it is back", agentapi.EnvoyActs, agentapi.EnvoyActs)
	m.config.Services["poison"] = &mesh.Service{Versions: []mesh.Version{{Hosts: mesh.Names{"h001"}}}, Instances: 1, MTLS: "strict"}
	m.apply("h000")
	want("nothing can be built on one", agentapi.EnvoyActs, agentapi.EnvoyRefuses)
}
