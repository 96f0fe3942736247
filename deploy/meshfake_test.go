package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

// fakeAgents are the agents of a world's hosts: real servers of the real API,
// each with a document that it judges as agents do, and gives to the others.
type fakeAgents struct {
	t    *testing.T
	w    *world
	keys map[string]trust.SSHKey // of operators

	mu     sync.Mutex // guards what follows, and all agents
	agents map[string]*fakeAgent

	services []agentapi.Service // as all agents see them
}

// fakeAgent is one agent. It is there once its host has committed.
type fakeAgent struct {
	all    *fakeAgents
	host   string
	socket string

	envoy   string // how far the host's Envoy is with what it acts on
	absent  bool   // the host has no agent
	away    error  // the host is not reached
	deaf    bool   // it gets no document from others
	signers *mesh.Signers
	text    []byte // of the document that it acts on
	in      *mesh.Document
	kept    map[string][]byte // by configuration
	took    []string          // hashes of configurations that it acted on, in order

	drain  agentapi.Drain
	drains int
	broken bool // its Envoy does not come back from a restart
}

var _ api.Source = (*fakeAgent)(nil)

// withAgents gives a world's hosts agents. Their operators are anna, who
// deploys, and bert.
func (w *world) withAgents(t *testing.T) *fakeAgents {
	t.Helper()
	f := &fakeAgents{t: t, w: w, agents: map[string]*fakeAgent{}, keys: map[string]trust.SSHKey{}}
	known := map[string][]string{}
	for _, name := range []string{"anna", "bert"} {
		key, err := trust.GenerateSSHKey(name)
		if err != nil {
			t.Fatal(err)
		}
		f.keys[name] = key
		known[name] = []string{key.Authorized}
		w.Fleet.Operators = append(w.Fleet.Operators, &spec.Operator{Name: name, Sign: []string{key.Authorized}})
	}
	dir, err := os.MkdirTemp("", "mesh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, host := range hostNames(w.Fleet) {
		a := &fakeAgent{all: f, host: host, socket: filepath.Join(dir, host), kept: map[string][]byte{}, absent: true,
			signers: &mesh.Signers{Verify: trust.Verify, Keys: known}}
		f.agents[host] = a
		listener, err := net.Listen("unix", a.socket)
		if err != nil {
			t.Fatal(err)
		}
		server, err := api.New(api.Options{Source: a, Listener: listener})
		if err == nil {
			err = server.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := server.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	w.Agents = f.dial
	w.SignMesh = f.signAs("anna")
	w.Local = LocalLedger{Dir: filepath.Join(t.TempDir(), "releases")}
	w.Times.Publish = time.Minute // a test that lets it pass sets its own
	return f
}

func (f *fakeAgents) signAs(operator string) func(context.Context, string, []byte) (string, error) {
	return func(_ context.Context, namespace string, body []byte) (string, error) {
		return trust.Sign(f.keys[operator].Signer, namespace, body)
	}
}

func (f *fakeAgents) dial(_ context.Context, host string) (*agentapi.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.agents[host]
	h := f.w.hosts[host]
	h.mu.Lock()
	committed := h.gen > 7
	h.mu.Unlock()
	switch {
	case a.away != nil:
		return nil, &LostError{Host: host, Err: a.away}
	case a.absent && !committed:
		return nil, fmt.Errorf("%s: %w", host, ErrNoAgent)
	}
	return agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", a.socket)
	}), nil
}

// there makes all agents present from the start.
func (f *fakeAgents) there() *fakeAgents {
	for _, a := range f.agents {
		a.absent = false
	}
	return f
}

// signed is a document that follows what is in force, by an operator.
func (f *fakeAgents) signed(operator string, after *mesh.Document, c *mesh.Config) *mesh.Document {
	f.t.Helper()
	d := mesh.NextDocument(after, c, operator)
	if err := d.Sign(func(namespace string, message []byte) (string, error) {
		return f.signAs(operator)(f.t.Context(), namespace, message)
	}); err != nil {
		f.t.Fatal(err)
	}
	return d
}

// begin puts a first document everywhere.
func (f *fakeAgents) begin(c *mesh.Config) *mesh.Document {
	f.t.Helper()
	d := f.there().signed("anna", nil, c)
	if got := f.agents["db1"].Apply(f.t.Context(), d.Canonical(), api.Peer{}); got.Result != agentapi.ApplyInForce {
		f.t.Fatal(got)
	}
	return d
}

// inForce is what every agent acts on; it fails where they do not agree.
func (f *fakeAgents) inForce() *mesh.Document {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var first *mesh.Document
	for _, host := range hostNames(f.w.Fleet) {
		a := f.agents[host]
		switch {
		case a.in == nil:
			f.t.Fatalf("%s acts on nothing", host)
		case first == nil:
			first = a.in
		case first.Hash() != a.in.Hash():
			f.t.Fatalf("%s acts on version %d, another on %d", host, a.in.Version, first.Version)
		}
	}
	return first
}

func (a *fakeAgent) Apply(_ context.Context, document []byte, _ api.Peer) agentapi.Applied {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	err := a.take(document, true)
	applied := agentapi.Applied{Result: agentapi.ApplyInForce}
	if err != nil {
		applied.Result, applied.Reason = agentapi.ApplyRefused, err.Error()
	}
	var fork *mesh.ForkError
	if errors.As(err, &fork) {
		applied.Result = agentapi.ApplyFork
	}
	if a.in != nil {
		applied.In = a.document()
	}
	if err == nil {
		for _, other := range a.all.agents {
			if other != a && !other.deaf && other.away == nil {
				_ = other.take(document, false) // it decides for itself
			}
		}
	}
	return applied
}

// take judges a document as package controlplane does.
func (a *fakeAgent) take(text []byte, operator bool) error {
	d, err := mesh.ParseDocument(text)
	if err != nil {
		return err
	}
	var have mesh.Link
	if a.in != nil {
		have = a.in.Link()
	}
	step, err := a.signers.Accept("shop", have, d)
	if err != nil {
		return err
	}
	if operator {
		if err := have.Publish(d.Link()); err != nil {
			return err
		}
	}
	if step.Takes() {
		a.in, a.text = d, text
		a.kept[d.Config.Hash()] = text
		a.took = append(a.took, d.Config.Hash())
	}
	return nil
}

func (a *fakeAgent) document() agentapi.Document {
	return agentapi.Document{Version: a.in.Version, Hash: a.in.Hash(), Config: a.in.Config.Hash(), Operator: a.in.Operator, Release: a.in.Release}
}

func (a *fakeAgent) Document(config string) ([]byte, bool) {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	if config == "" {
		return a.text, a.in != nil
	}
	text, ok := a.kept[config]
	return text, ok
}

func (a *fakeAgent) Status() agentapi.Status {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	s := agentapi.Status{Schema: agentapi.StatusSchema, Host: a.host, Fleet: "shop"}
	if a.in == nil {
		return s
	}
	d := a.document()
	s.Document = &d
	for _, host := range hostNames(a.all.w.Fleet) {
		o := a.all.agents[host]
		h := agentapi.Host{Name: host, Gossip: agentapi.GossipAlive}
		if o.in != nil && o.away == nil {
			h.Applied, h.Envoy = o.in.Hash() == d.Hash, o.envoy
		}
		s.Hosts = append(s.Hosts, h)
	}
	s.Services = a.all.services
	return s
}

func (a *fakeAgent) Certs() agentapi.Certs { return agentapi.Certs{} }
func (a *fakeAgent) Override(context.Context, []byte, api.Peer) error {
	return errors.New("no overrides here")
}
func (a *fakeAgent) AuthorityRequest() (agentapi.AuthorityRequest, error) {
	return agentapi.AuthorityRequest{}, errors.New("no authority")
}
func (a *fakeAgent) InstallAuthority([]byte) error                 { return errors.New("no authority") }
func (a *fakeAgent) Ready() error                                  { return nil }
func (a *fakeAgent) Endpoints(context.Context) agentapi.Endpoints  { return agentapi.Endpoints{} }
func (a *fakeAgent) Dump(context.Context, string, io.Writer) error { return errors.New("no Envoy") }
func (a *fakeAgent) Gate() error                                   { return nil }

// BeginDrain lasts until the host's Envoy is another one.
func (a *fakeAgent) BeginDrain(context.Context) (agentapi.Drain, error) {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	for _, other := range a.all.agents {
		if other.drain.Draining {
			return agentapi.Drain{}, fmt.Errorf("%s is drained while %s is", a.host, other.host)
		}
	}
	a.drains++
	a.drain = agentapi.Drain{Draining: true, Leaving: []string{"api"}, Staying: []string{"db"}, Told: []string{"app1"}, Silent: []string{"edge1"}, Active: 2}
	return a.drain, nil
}

func (a *fakeAgent) Drain() agentapi.Drain {
	a.all.mu.Lock()
	defer a.all.mu.Unlock()
	h := a.all.w.hosts[a.host]
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.drain.Draining && h.envoy != nil && !h.envoy.Stale {
		a.drain.Draining, a.drain.Renewed, a.drain.Ended = false, !a.broken, "its Envoy is another one"
	}
	return a.drain
}

func (a *fakeAgent) Metrics(context.Context) []api.Metric { return nil }
func (a *fakeAgent) Events() (<-chan agentapi.Event, func()) {
	return make(chan agentapi.Event), func() {}
}

// shopMesh is a small mesh configuration: web calls each of upstreams within a
// time.
func shopMesh(timeout time.Duration, upstreams ...string) *mesh.Config {
	second := mesh.Duration(time.Second)
	patience := mesh.Duration(timeout)
	c := &mesh.Config{
		Schema: mesh.Schema, Fleet: "shop", Domain: "mesh", TrustDomain: "shop-3fa9c1d2.nixmesh", Authorization: mesh.Declared,
		CA:        mesh.CA{LeafTTL: 72 * 3600 * second, IntermediateTTL: 365 * 86400 * second, Authorities: mesh.Names{"db1"}},
		Telemetry: mesh.Telemetry{AccessLog: "errors"},
		Defaults:  map[string]mesh.Defaults{},
		Hosts:     map[string]*mesh.Host{}, Services: map[string]*mesh.Service{}, Edges: map[string]map[string]*mesh.Edge{"web": {}},
	}
	for _, protocol := range []string{"http", "http2", "grpc", "tcp", "redis", mesh.Upgraded} {
		c.Defaults[protocol] = mesh.Defaults{Timeout: 15 * second, IdleTimeout: 300 * second}
	}
	for i, host := range []string{"app1", "app2", "db1", "db2", "edge1"} {
		c.Hosts[host] = &mesh.Host{Address: fmt.Sprintf("10.0.0.%d", i+1)}
	}
	for name, host := range map[string]string{"web": "app1", "api": "app2", "redis": "db1", "postgres": "db2"} {
		c.Services[name] = &mesh.Service{Listens: []mesh.Listen{{Protocol: "http"}}, Versions: []mesh.Version{{Hosts: mesh.Names{host}}}, Instances: 1, MTLS: "strict"}
	}
	for _, upstream := range upstreams {
		c.Edges["web"][upstream] = &mesh.Edge{
			Patience: mesh.Patience{Timeout: &patience}, ConnectTimeout: second, LB: "least_request",
			Outlier:  mesh.Outlier{Errors: 5, Every: 10 * second, Eject: 30 * second, Max: 50},
			Circuit:  mesh.Circuit{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
			Failover: mesh.Failover{Zones: true, Threshold: 70},
		}
	}
	return c
}

// wants is what a spec of generation n says of the mesh: its hosts' compiled
// text is n.
func wants(n int, c *mesh.Config) *MeshNext {
	next := &MeshNext{Config: c, Modules: map[string]string{}}
	for host := range c.Hosts {
		next.Modules[host] = fmt.Sprintf("module of %s, %d", host, n)
	}
	return next
}

// meshDeploy deploys generation n with a mesh configuration.
func (w *world) meshDeploy(t *testing.T, n int, c *mesh.Config, hosts ...string) *Summary {
	t.Helper()
	if len(hosts) == 0 {
		hosts = hostNames(w.Fleet)
	}
	p, err := w.Plan(t.Context(), w.want(n, hosts...), PlanOptions{Hosts: hosts, Mesh: wants(n, c)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Execute(t.Context(), p, ExecuteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// apply publishes a mesh configuration alone.
func (w *world) apply(t *testing.T, n int, c *mesh.Config) (*Plan, *Summary) {
	t.Helper()
	p, err := w.PlanMesh(t.Context(), wants(n, c))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Mesh.Needs) > 0 || !p.Mesh.Acts {
		return p, nil
	}
	s, err := w.Execute(t.Context(), p, ExecuteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p, s
}

// appliedOn fails unless the summary's document is in force on hosts.
func appliedOn(t *testing.T, s *Summary, hosts ...string) {
	t.Helper()
	if s.Mesh == nil || s.Mesh.Error != "" || !slices.Equal(s.Mesh.Applied, hosts) {
		t.Fatalf("mesh %+v, want it on %v", s.Mesh, hosts)
	}
}
