package api

import (
	"fmt"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
)

// A status of 1,000 services on 100 hosts, from the agent's struct to the
// client's.
func BenchmarkStatus(b *testing.B) {
	s := agentapi.Status{Schema: agentapi.StatusSchema, Host: "host000", Fleet: "large", Time: noon(), Document: &agentapi.Document{Version: 57, Hash: "3fa9c1d2"}}
	for i := range 100 {
		s.Hosts = append(s.Hosts, agentapi.Host{Name: fmt.Sprintf("host%03d", i), Address: "10.0.0.1", Gossip: agentapi.GossipAlive, Since: noon(), Agent: "0.3.2", Document: s.Document, Applied: true})
	}
	for i := range 1000 {
		svc := agentapi.Service{Name: fmt.Sprintf("service%04d", i), Ready: 5, Total: 5}
		for j := range 5 {
			svc.Endpoints = append(svc.Endpoints, agentapi.Endpoint{Host: s.Hosts[(i+j)%100].Name, Address: "10.0.0.1:15443", State: agentapi.EndpointHealthy, Standing: agentapi.StandingUp, Ready: 1, Copies: 1, Since: noon()})
		}
		s.Services = append(s.Services, svc)
	}
	_, socket := serve(b, &agent{status: func() agentapi.Status { return s }}, nil)
	c := client(b, socket)
	b.ReportAllocs()
	for b.Loop() {
		got, err := c.Status(b.Context())
		if err != nil || len(got.Services) != 1000 {
			b.Fatal(err)
		}
	}
}
