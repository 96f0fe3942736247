package controlplane

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
	"github.com/nixmesh/nixmesh/mesh"
)

// meshed is a fleet on this machine whose hosts each have a real Envoy. web runs on
// h000 and calls api, which runs on the others.
type meshed struct {
	*world
	t      *testing.T
	edge   int            // port of web's way to api
	ports  map[string]int // of api, by host
	envoys map[string]*exec.Cmd
}

// newMeshed starts the agents, with an authority among them, and no Envoy. All
// services have their certificates.
func newMeshed(t *testing.T, hosts int) *meshed {
	t.Helper()
	envoytest.Binary(t) // or skip before anything is begun
	m := &meshed{t: t, edge: envoytest.FreePort(t), ports: map[string]int{}, envoys: map[string]*exec.Cmd{}}
	m.world = realWorld(t, hosts, func(string) {})
	w := m.world
	delete(w.config.Services, "web")
	w.config.Services["web"] = &mesh.Service{Versions: []mesh.Version{{Hosts: mesh.Names{"h000"}}}, Instances: 1, MTLS: "strict"}
	w.config.Services["api"] = &mesh.Service{Listens: []mesh.Listen{{Protocol: "http"}}, Versions: []mesh.Version{{Hosts: w.names[1:]}}, Instances: 1, MTLS: "strict"}
	second := mesh.Duration(time.Second)
	patient := mesh.Patience{Timeout: new(120 * second)}
	w.config.Edges = map[string]map[string]*mesh.Edge{"web": {"api": {
		ConnectTimeout: 60 * second, LB: "round_robin", Patience: patient,
		Outlier:  mesh.Outlier{Every: 10 * second, Eject: 30 * second, Max: 50},
		Circuit:  mesh.Circuit{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
		Failover: mesh.Failover{Threshold: 70},
	}}}
	w.appoint("h000")
	for _, name := range w.names {
		host := w.hosts[name]
		m.ports[name] = m.serve(name)
		host.facts = func(f *hostfacts.Facts) { m.facts(host, f) }
		host.writeFacts()
	}
	w.eventually(testPatience, func() string {
		for _, name := range w.names {
			if f := w.hosts[name].agent.proxy.facts.Load(); f == nil || f.Mesh.Envoy == nil {
				return name + " has not read its facts"
			}
		}
		return ""
	})
	w.seed()
	w.install("h000")
	w.eventually(testPatience, m.certified)
	t.Cleanup(func() {
		for _, name := range w.names {
			m.stopEnvoy(name)
		}
	})
	return m
}

// certified tells what is missing until all services have their certificates:
// before, they are told to nobody.
func (m *meshed) certified() string {
	for _, name := range m.names {
		for _, i := range m.hosts[name].agent.certificates.keeper.Status().Identities {
			if i.ID == "" {
				return fmt.Sprintf("%s has no certificate of %s: %s", name, i.Service, i.Error)
			}
		}
	}
	return ""
}

// serve answers with the name of the host, as the api there.
func (m *meshed) serve(host string) int {
	m.t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(m.t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, host) })}
	go func() { _ = server.Serve(l) }() // until the close below
	m.t.Cleanup(func() { _ = server.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func (m *meshed) facts(host *machine, f *hostfacts.Facts) {
	f.Mesh.Envoy = &hostfacts.Envoy{Version: "1.40.0", Binary: "/nix/store/x/bin/envoy", Bootstrap: "/nix/store/x/envoy.json", UID: os.Getuid()}
	for i := range f.Instances {
		if f.Instances[i].Service == "api" {
			f.Instances[i].Listens = []hostfacts.Listen{{Protocol: "http", Address: "127.0.0.1", Port: m.ports[host.name]}}
		}
	}
	if host.name == "h000" {
		f.Edges = []hostfacts.Edge{{
			Caller: "web", User: "web", UID: 32000, Upstream: "api", Protocol: "http", Address: "127.64.0.5", Ports: []int{80}, EdgePort: m.edge,
		}}
	}
}

// startEnvoy starts the Envoy of a host, as its unit does.
func (m *meshed) startEnvoy(host string) {
	m.t.Helper()
	run := m.hosts[host].file("run")
	if err := os.MkdirAll(filepath.Join(run, "envoy"), 0o700); err != nil {
		m.t.Fatal(err)
	}
	bootstrap := m.hosts[host].file("envoy.json")
	if err := os.WriteFile(bootstrap, []byte(fmt.Sprintf(envoyBootstrap, host, run)), 0o600); err != nil {
		m.t.Fatal(err)
	}
	log := must(os.OpenFile(m.hosts[host].file("envoy.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))(m.t)
	defer log.Close() // the child has its own
	cmd := exec.Command(envoytest.Binary(m.t), "-c", bootstrap, "--disable-hot-restart", "--concurrency", "1", "-l", "warning", "--drain-time-s", "10", "--drain-strategy", "immediate")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.envoys[host] = cmd
}

const envoyBootstrap = `{
  "node": {"id": "%[1]s", "cluster": "shop"},
  "admin": {"address": {"pipe": {"path": "%[2]s/envoy/admin.sock", "mode": 384}}},
  "dynamic_resources": {
    "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
      "grpc_services": [{"envoy_grpc": {"cluster_name": "xds", "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}}}]},
    "cds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
    "lds_config": {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
  },
  "stats_config": {"use_all_default_tags": true},
  "static_resources": {"clusters": [{
    "name": "xds", "type": "STATIC", "connect_timeout": "1s",
    "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}},
    "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": "%[2]s/xds.sock"}}}}]}]}
  }]}
}`

func (m *meshed) stopEnvoy(host string) {
	cmd := m.envoys[host]
	delete(m.envoys, host)
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill() // it may have ended by itself
	_ = cmd.Wait()
	if log, err := os.ReadFile(m.hosts[host].file("envoy.log")); err == nil && m.t.Failed() {
		m.t.Logf("Envoy of %s:\n%s", host, log)
	}
}

// call calls api as web does, on a connection of its own, and gives what was
// answered.
func (m *meshed) call() string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: testPatience}
	request := must(http.NewRequest(http.MethodGet, fmt.Sprintf("http://127.65.0.1:%d/", m.edge), nil))(m.t)
	request.Host = "api.mesh"
	answer, err := client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1000))
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", answer.StatusCode, body)
}

// proxied tells what is missing until the Envoys of hosts are as they shall be.
func (m *meshed) proxied(hosts ...string) string {
	for _, name := range hosts {
		a := m.hosts[name].agent
		if err := a.Ready(); err != nil {
			return fmt.Sprintf("%s: %v: %+v", name, err, a.proxy.status())
		}
		if p := a.proxy.status(); !p.Settled || len(p.Refused)+len(p.Problems) > 0 {
			return fmt.Sprintf("%s: %+v", name, p)
		}
	}
	return ""
}

// ready waits until all agents see all, and every Envoy has what follows from that.
func (m *meshed) ready() {
	m.t.Helper()
	m.eventually(testPatience, func() string {
		if missing := m.whole(); missing != "" {
			return missing
		}
		if missing := m.proxied(m.names...); missing != "" {
			return missing
		}
		for _, name := range m.names {
			if !m.hosts[name].agent.proxy.caughtUp() {
				return "the Envoy of " + name + " does not have all yet"
			}
		}
		return ""
	})
}

// Two hosts: a call goes through both Envoys, with an identity at each end.
func TestEnvoyServes(t *testing.T) {
	m := newMeshed(t, 2)
	for _, name := range m.names {
		m.startEnvoy(name)
	}
	m.ready()
	if got := m.call(); got != "200 h001" {
		t.Errorf("the call gives %q", got)
	}
	a := m.hosts["h000"].agent
	e := a.Endpoints(t.Context())
	if len(e.Calls) != 1 || len(e.Calls[0].Endpoints) != 1 || e.Error != "" {
		t.Fatalf("endpoints: %+v", e)
	}
	got := e.Calls[0].Endpoints[0]
	if got.Host != "h001" || got.Health != agentapi.EndpointHealthy || got.Envoy == nil || got.Envoy.Requests != 1 || !e.Calls[0].Acked {
		t.Errorf("endpoint %+v, Envoy says %+v", got, got.Envoy)
	}
	for _, part := range append(agentapi.DumpParts(), "") {
		var b bytes.Buffer
		if err := a.Dump(t.Context(), part, &b); err != nil {
			t.Fatal(err)
		}
		var back agentapi.Dump
		if err := json.Unmarshal(b.Bytes(), &back); err != nil || back.Schema != agentapi.DumpSchema || (part == agentapi.DumpEnvoy) != (back.Envoy != nil) {
			t.Errorf("the dump of %q: %v, %.500s", part, err, &b)
		}
		dump := b.String()
		key := must(must2(a.certificates.keeper.Leaf("web"))(t).KeyPEM())(t)
		for _, hidden := range []string{"PRIVATE KEY", string(key), jsonText(t, key)} {
			if strings.Contains(dump, hidden) {
				t.Errorf("the dump of %q shows a key", part)
			}
		}
		if part == "" && !strings.Contains(dump, "svc:web") {
			t.Errorf("the dump lacks svc:web: %.500s", dump)
		}
	}
}

func must2[T any](v T, ok bool) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if !ok {
			t.Fatal("there is none")
		}
		return v
	}
}

// jsonText is what bytes look like in JSON: in base64.
func jsonText(t *testing.T, b []byte) string {
	return strings.Trim(string(must(json.Marshal(b))(t)), `"`)
}
