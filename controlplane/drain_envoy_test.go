package controlplane

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
	"github.com/nixmesh/nixmesh/mesh"
)

// Those outside see a drain by the health path, also when the agent dies in it: the
// next one takes it back. An Envoy is another one when its process is.
func TestDrainOfAGateway(t *testing.T) {
	m := newMeshed(t, 2)
	port := envoytest.FreePort(t)
	edge := *m.config.Edges["web"]["api"]
	m.config.Edges["public"] = map[string]*mesh.Edge{"api": &edge}
	m.config.Gateways = map[string]*mesh.Gateway{"public": {
		Hosts: mesh.Names{"h001"}, MaxHeaders: 60 << 10, ClientTimeout: mesh.Duration(time.Minute), Connections: 10,
		Listens: []mesh.GatewayListen{{Protocol: "http", Port: port}},
		Routes:  []mesh.GatewayRoute{{Host: "shop.example", Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/"}}, Targets: []mesh.Target{{Service: "api", Percent: 100}}}},
	}}
	m.apply("h000")
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	answers := func(status int) func() string {
		return func() string {
			request := must(http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, xds.HealthPath), nil))(t)
			answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testPatience}).Do(request)
			if err != nil {
				return err.Error()
			}
			answer.Body.Close()
			if answer.StatusCode != status {
				return fmt.Sprintf("the health path answers %d, want %d", answer.StatusCode, status)
			}
			return ""
		}
	}
	m.ready()
	m.eventually(testPatience, answers(200))

	host := m.hosts["h001"]
	if _, err := host.agent.BeginDrain(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.eventually(testPatience, answers(503))
	host.stop()
	m.eventually(testPatience, answers(503))
	host.start()
	m.eventually(testPatience, answers(200))

	m.eventually(testPatience, func() string { return m.proxied("h001") })
	first := host.agent.envoyNow(context.Background())
	if first.process != m.envoys["h001"].Process.Pid {
		t.Errorf("Envoy is process %d, and the kernel says %d", m.envoys["h001"].Process.Pid, first.process)
	}
	if again := (envoyRun{first.process, first.stream.Add(time.Second)}); again.replaces(first) || !(envoyRun{stream: again.stream}).replaces(envoyRun{stream: first.stream}) {
		t.Error("another stream of one process is another Envoy")
	}
	if _, err := host.agent.BeginDrain(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.stopEnvoy("h001")
	m.startEnvoy("h001")
	m.eventually(testPatience, func() string {
		if d := host.agent.Drain(); d.Draining || !strings.HasPrefix(d.Ended, "Envoy was restarted") {
			return fmt.Sprintf("the drain has not ended with another Envoy: %+v", d)
		}
		return ""
	})
	m.eventually(testPatience, answers(200))
}

// The new Envoy has no listener for one of the host's callers: another process has the
// port. It is not told as renewed until it has, or the next host would be restarted, too.
func TestDrainOfARefusedListener(t *testing.T) {
	m := newMeshed(t, 2)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()
	a := m.hosts["h000"].agent
	if _, err := a.BeginDrain(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.stopEnvoy("h000")
	thief := must(net.Listen("tcp", fmt.Sprintf("127.65.0.1:%d", m.edge)))(t)
	defer thief.Close()
	m.startEnvoy("h000")
	var over time.Time
	m.eventually(testPatience, func() string {
		switch s := a.proxy.server.Status(); {
		case len(lacking(s)) == 0 || !s.Settled:
			over = time.Now().Add(2 * drainWarm)
			return fmt.Sprintf("it lacks nothing: %+v", s.Refused)
		case time.Now().Before(over):
			return "it is looked at"
		}
		return ""
	})
	if d := a.Drain(); !d.Draining || d.Renewed {
		t.Errorf("it is over: %+v", d)
	}
	if err := thief.Close(); err != nil {
		t.Fatal(err)
	}
	m.eventually(testPatience, func() string {
		if d := a.Drain(); !d.Renewed {
			return "h000 is drained still: " + d.Ended
		}
		return ""
	})
}
