package controlplane

import (
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/hostfacts"
)

// A host that runs another release, whose service speaks what its Envoy cannot pass on,
// says so, and is called no more until it can.
func TestEnvoyShut(t *testing.T) {
	m := newMeshed(t, 3)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()
	host := m.hosts["h001"]
	speak := func(protocol string) {
		host.facts = func(f *hostfacts.Facts) {
			m.facts(host, f)
			f.Instances[0].Listens[0].Protocol = protocol
		}
		host.writeFacts()
	}
	speak("tcp")
	m.eventually(testPatience, m.told("h001", agentapi.EndpointUnhealthy, "api speaks tcp on this host and http in the mesh configuration: it is not offered"))
	m.eventually(testPatience, m.state("api", "h001", agentapi.EndpointUnhealthy))
	m.avoids(t, "h001", "h002")
	speak("http")
	m.eventually(testPatience, m.state("api", "h001", agentapi.EndpointHealthy))
	m.ready()
}
