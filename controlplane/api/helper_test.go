package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/testkit/leaks"
)

// testPatience is after how long a test gives up what a machine with other work may
// take its time for.
const testPatience = 2 * time.Minute

// TestMain fails where goroutines are left that do not end.
func TestMain(m *testing.M) {
	if os.Getenv(childSocket) != "" {
		os.Exit(child(os.Getenv(childSocket)))
	}
	leaks.Main(m)
}

// agent is a small Source that keeps what it is given.
type agent struct {
	mu        sync.Mutex // guards what follows
	documents [][]byte
	overrides [][]byte
	pem       []byte
	by        []Peer
	notReady  error
	watchers  map[chan agentapi.Event]bool
	status    func() agentapi.Status
}

var _ Source = (*agent)(nil)

func noon() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func (a *agent) Status() agentapi.Status {
	if a.status != nil {
		return a.status()
	}
	d := &agentapi.Document{Version: 57, Hash: "3fa9c1d2000000000000", Operator: "anna", Since: noon()}
	return agentapi.Status{
		Schema: agentapi.StatusSchema, Host: "app1", Fleet: "shop", Version: "0.3.2", Time: noon(), Started: noon().Add(-time.Hour), Document: d,
		Hosts: []agentapi.Host{{Name: "app1", Gossip: agentapi.GossipSelf, Applied: true, Document: d}, {Name: "db1", Gossip: agentapi.GossipDead}},
		Services: []agentapi.Service{
			{Name: "api", Ready: 1, Total: 2, Endpoints: []agentapi.Endpoint{
				{Version: "v1", Host: "app1", State: agentapi.EndpointHealthy, Ready: 1, Copies: 1},
				{Version: "v2", Host: "app2", State: agentapi.EndpointUnhealthy, Copies: 1, Reason: "GET /healthz 503"}}},
			{Name: "web", Ready: 1, Total: 1, Endpoints: []agentapi.Endpoint{{Host: "app1", State: agentapi.EndpointHealthy, Ready: 1, Copies: 1}}}},
		Problems: []agentapi.Problem{{What: "the disk is full"}},
	}
}

func (a *agent) Certs() agentapi.Certs {
	return agentapi.Certs{
		Schema: agentapi.CertsSchema, Host: "app1", Time: noon(),
		Roots:       []agentapi.Cert{{Name: "shop CA (root 3fa9c1d2)", Until: noon().AddDate(10, 0, 0), Level: agentapi.LevelOK}},
		Authority:   &agentapi.Cert{Name: "shop CA (app1)", Until: noon().AddDate(1, 0, 0), Level: agentapi.LevelOK},
		Issued:      4,
		Leaves:      []agentapi.Cert{{Name: "api", Until: noon().Add(71 * time.Hour), Renews: noon().Add(35 * time.Hour), Level: agentapi.LevelOK}, {Name: "web", Until: noon().Add(-time.Hour), Level: agentapi.LevelExpired}, {Name: "worker", Level: agentapi.LevelExpired}},
		Authorities: []agentapi.Answerer{{Host: "app1"}, {Host: "db1", Failures: 3}},
	}
}

func (a *agent) Document(config string) ([]byte, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if config != "" || len(a.documents) == 0 {
		return nil, false
	}
	return a.documents[len(a.documents)-1], true
}

func (a *agent) Apply(_ context.Context, document []byte, by Peer) agentapi.Applied {
	a.mu.Lock()
	defer a.mu.Unlock()
	if string(document) == "forged" {
		return agentapi.Applied{Result: agentapi.ApplyRefused, Reason: "no operator signed it"}
	}
	if string(document) == "poison" {
		panic("poison")
	}
	a.documents, a.by = append(a.documents, document), append(a.by, by)
	return agentapi.Applied{Result: agentapi.ApplyInForce, In: agentapi.Document{Version: int64(len(a.documents))}}
}

func (a *agent) Override(_ context.Context, override []byte, by Peer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if string(override) == "late" {
		return errors.New("it has expired")
	}
	a.overrides, a.by = append(a.overrides, override), append(a.by, by)
	return nil
}

func (a *agent) AuthorityRequest() (agentapi.AuthorityRequest, error) {
	return agentapi.AuthorityRequest{Host: "app1", Request: "-----BEGIN\nlines\n"}, nil
}

func (a *agent) InstallAuthority(pem []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pem = pem
	return nil
}

func (a *agent) Ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.notReady
}

func (a *agent) Gate() error { return a.Ready() }

func (a *agent) BeginDrain(context.Context) (agentapi.Drain, error) {
	if a.Ready() != nil {
		return agentapi.Drain{}, errors.New("this host has no Envoy")
	}
	return agentapi.Drain{Draining: true, Leaving: []string{"api@v1"}, Told: []string{"db1"}}, nil
}

func (a *agent) Drain() agentapi.Drain { return agentapi.Drain{Ended: "Envoy was restarted"} }

func (a *agent) Endpoints(context.Context) agentapi.Endpoints {
	return agentapi.Endpoints{Schema: agentapi.EndpointsSchema, Host: "app1", Calls: []agentapi.Call{{Caller: "web", Upstream: "api", Acked: true}}}
}

func (a *agent) Dump(_ context.Context, part string, w io.Writer) error {
	if part == agentapi.DumpEnvoy {
		return errors.New("Envoy does not answer")
	}
	return json.NewEncoder(w).Encode(agentapi.Dump{Schema: agentapi.DumpSchema, Host: "app1", Resources: []agentapi.DumpResource{{Type: part, Content: json.RawMessage(`{"name":"x"}`)}}})
}

func (a *agent) Metrics(context.Context) []Metric {
	return []Metric{{Name: GossipMembers, Value: 2}, {GossipRefused, []Label{{"reason", "wrong_key"}}, 7}, {Name: "made_up", Value: 1}}
}

func (a *agent) Events() (<-chan agentapi.Event, func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watchers == nil {
		a.watchers = map[chan agentapi.Event]bool{}
	}
	c := make(chan agentapi.Event)
	a.watchers[c] = true
	return c, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.watchers, c)
	}
}

// send gives an event to all watchers, who have to take it.
func (a *agent) send(t *testing.T, e agentapi.Event) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.watchers {
		select {
		case c <- e:
		case <-time.After(testPatience):
			t.Fatal("a watch holds the agent up")
		}
	}
}

func (a *agent) watching() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.watchers)
}

// serve runs a server for a test, on a socket of its own.
func serve(t testing.TB, a Source, change func(*limits)) (s *Server, socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "api.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	lim := defaultLimits()
	if change != nil {
		change(&lim)
	}
	s, err = newServer(Options{Source: a, Listener: l, Logger: slog.New(slog.DiscardHandler)}, lim)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.Stop(ctx) // connections that the test left open are closed
	})
	return s, socket
}

// client asks a socket.
func client(t testing.TB, socket string) *agentapi.Client {
	t.Helper()
	c := agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	})
	t.Cleanup(c.Close)
	return c
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(testPatience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) && !holds() {
			t.Fatal("never " + what)
		}
	}
}
