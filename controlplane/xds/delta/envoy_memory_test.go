package delta

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// An Envoy with 20 services of its host, each of which calls 10 others, has at most
// 150 MB of memory. Here it counts everything, which on a host it does not.
func TestEnvoyMemory(t *testing.T) {
	r := startReal(t)
	out := xds.Build(busyHost(t, 20, 10))
	if len(out.Problems) > 0 {
		t.Fatalf("%+v", out.Problems)
	}
	start := time.Now()
	r.server.Replace(out.Resources)
	st := r.settle()
	if len(st.Refused) > 0 {
		t.Fatalf("refused: %+v", st.Refused[0])
	}
	took := time.Since(start)
	answer, err := r.admin.Get("http://envoy/memory")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var memory struct {
		Allocated int64 `json:",string"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&memory); err != nil {
		t.Fatal(err)
	}
	got := resident(t, r)
	t.Logf("%d resources after %s: %.0f MB resident, %.0f MB of them allocated", len(out.Resources), took.Round(time.Millisecond), float64(got)/1e6, float64(memory.Allocated)/1e6)
	if got > 150e6 {
		t.Error("it has more than 150 MB")
	}
}

// resident is the memory of an Envoy, in bytes.
func resident(t *testing.T, r *real) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no memory in %s", status)
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64) // digits
	return n << 10
}

// busyHost is a host with services that each call others, which run on ten more.
func busyHost(t *testing.T, services, upstreams int) *xds.Input {
	t.Helper()
	second := func(n int) mesh.Duration { return mesh.Duration(time.Duration(n) * time.Second) }
	c := &mesh.Config{
		Schema: mesh.Schema, Fleet: "busy", Domain: "mesh", TrustDomain: "busy-00000000.nixmesh", Authorization: mesh.Declared,
		CA:        mesh.CA{LeafTTL: second(72 * 3600), IntermediateTTL: second(365 * 86400), Authorities: mesh.Names{"host1"}},
		Telemetry: mesh.Telemetry{AccessLog: "errors"},
		Defaults:  map[string]mesh.Defaults{},
		Hosts:     map[string]*mesh.Host{"host1": {Address: "127.71.0.1"}},
		Services:  map[string]*mesh.Service{}, Edges: map[string]map[string]*mesh.Edge{},
	}
	for _, protocol := range []string{"http", "http2", "grpc", "tcp", "redis", mesh.Upgraded} {
		c.Defaults[protocol] = mesh.Defaults{Timeout: second(15), IdleTimeout: second(300)}
	}
	var others mesh.Names
	for i := range 10 {
		others = append(others, fmt.Sprint("other", i))
		c.Hosts[others[i]] = &mesh.Host{Address: fmt.Sprint("127.71.1.", i+1)}
	}
	place := func(name string, hosts mesh.Names) {
		c.Services[name] = &mesh.Service{Listens: []mesh.Listen{{Protocol: "http"}}, Versions: []mesh.Version{{Hosts: hosts}}, Instances: 1, MTLS: "strict"}
	}
	facts := &hostfacts.Facts{Host: "host1", Mesh: &hostfacts.Mesh{}}
	leaf := selfSigned(t)
	facts.Mesh.Roots = string(leaf.Chain)
	for i := range services {
		caller := fmt.Sprint("s", i)
		place(caller, mesh.Names{"host1"})
		facts.Instances = append(facts.Instances, hostfacts.Instance{
			Service: caller, Unit: caller + ".service", User: "nm-" + caller, UID: 32000 + i,
			Listens: []hostfacts.Listen{{Protocol: "http", Address: "127.0.0.1", Port: 20000 + i}},
		})
		c.Edges[caller] = map[string]*mesh.Edge{}
		for j := range upstreams {
			upstream := fmt.Sprintf("u%d", (i*upstreams+j)%50)
			place(upstream, others)
			c.Edges[caller][upstream] = &mesh.Edge{
				ConnectTimeout: second(1), LB: "least_request",
				Outlier:  mesh.Outlier{Errors: 5, Every: second(10), Eject: second(30), Max: 50},
				Circuit:  mesh.Circuit{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
				Failover: mesh.Failover{Zones: true, Threshold: 70},
			}
			facts.Edges = append(facts.Edges, hostfacts.Edge{
				Caller: caller, User: "nm-" + caller, UID: 32000 + i, Upstream: upstream, Protocol: "http",
				Address: "127.64.0.1", Ports: []int{80}, EdgePort: 26900 + len(facts.Edges),
			})
		}
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return &xds.Input{
		Host: "host1", Config: c, Facts: facts,
		Leaf: func(string) (xds.Leaf, bool) { return leaf, true },
		Endpoints: func(service string) []catalog.Endpoint {
			var list []catalog.Endpoint
			for _, host := range c.Services[service].Versions[0].Hosts {
				list = append(list, catalog.Endpoint{
					Service: service, Host: host, Address: c.Hosts[host].Address, Port: xds.MeshPort,
					State: catalog.StateHealthy, Ready: 1, Copies: 1,
				})
			}
			return list
		},
	}
}

// selfSigned is a certificate that is its own root.
func selfSigned(t *testing.T) xds.Leaf {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "busy"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return xds.Leaf{
		Chain: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		Key:   pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}
