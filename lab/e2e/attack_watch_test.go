package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// inside is a file of a host as its own processes see it, /run included.
func (f *fleet) inside(host, path string) string {
	return filepath.Join("/proc", strconv.Itoa(f.host(host).PID), "root", path)
}

// client asks a host's agent at its socket, from outside of the host.
func (f *fleet) client(t *testing.T, host string) *agentapi.Client {
	t.Helper()
	socket := f.inside(host, agentapi.Socket)
	c := agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	})
	t.Cleanup(c.Close)
	return c
}

// victim is a host that is attacked, and how it was before.
type victim struct {
	seat
	f      *fleet
	name   string
	client *agentapi.Client
	pid    string // of its agent
}

func (f *fleet) victim(t *testing.T, host string) *victim {
	t.Helper()
	return &victim{seat: f.seat(host), f: f, name: host, client: f.client(t, host), pid: f.agentPID(host)}
}

// asking bounds a question to a victim.
func asking(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lineTimeout)
	t.Cleanup(cancel)
	return ctx
}

func (v *victim) status(t *testing.T) *agentapi.Status {
	t.Helper()
	s, err := v.client.Status(asking(t))
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	return s
}

// counted sums the samples of a metric whose labels have a text.
func (v *victim) counted(t *testing.T, metric, label string) (sum float64) {
	t.Helper()
	text, err := v.client.Metrics(asking(t))
	if err != nil {
		t.Fatalf("%s: %v", v.name, err)
	}
	for sample := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(sample), " ")
		if bare, labels, _ := strings.Cut(name, "{"); bare != metric || !strings.Contains(labels, label) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: read %q: %v", v.name, sample, err)
		}
		sum += n
	}
	return sum
}

// refuses wants that an attack makes a victim count at least so many refusals,
// and that its log names a reason.
func (v *victim) refuses(t *testing.T, metric, label string, least float64, log string, attack func()) {
	t.Helper()
	before := v.counted(t, metric, label)
	attack()
	until(t, fmt.Sprintf("%s counts %s %s", v.name, metric, label), func() bool { return v.counted(t, metric, label) >= before+least })
	if log != "" {
		until(t, fmt.Sprintf("%s logs %q", v.name, log), func() bool { return strings.Contains(v.log(), log) })
	}
}

// log is what the victim's agent said so far.
func (v *victim) log() string {
	return v.f.ssh(v.name, "journalctl -u "+agentUnit+" --no-pager -o cat").stdout
}

// endpoint is how a victim sees a service of a host, nil where it does not.
func (v *victim) endpoint(t *testing.T, service, host string) *agentapi.Endpoint {
	t.Helper()
	for _, s := range v.status(t).Services {
		for i := range s.Endpoints {
			if s.Name == service && s.Endpoints[i].Host == host {
				return &s.Endpoints[i]
			}
		}
	}
	return nil
}

// sees waits until a victim sees a service of a host in a state, "" = not at all.
func (v *victim) sees(t *testing.T, service, host, state string) {
	t.Helper()
	if !within(patience, func() bool { return v.seen(t, service, host, state) }) {
		t.Fatalf("%s sees %s on %s as %+v after %s; want %q", v.name, service, host, v.endpoint(t, service, host), patience, state)
	}
}

// seesNow fails unless a victim sees a service of a host in a state, already or
// still.
func (v *victim) seesNow(t *testing.T, service, host, state string) {
	t.Helper()
	if !v.seen(t, service, host, state) {
		t.Errorf("%s sees %s on %s as %+v; want %q", v.name, service, host, v.endpoint(t, service, host), state)
	}
}

func (v *victim) seen(t *testing.T, service, host, state string) bool {
	t.Helper()
	e := v.endpoint(t, service, host)
	return e == nil && state == "" || e != nil && e.State == state
}

// wantWell fails unless a victim's agent is the one that it was, failed at
// nothing, and sees the fleet whole: as many hosts and endpoints as there are.
func (v *victim) wantWell(t *testing.T) {
	t.Helper()
	v.f.wantConvened(t, v.name)
	if pid := v.f.agentPID(v.name); pid != v.pid {
		t.Errorf("the agent of %s is process %s, and was %s", v.name, pid, v.pid)
	}
	if n := v.counted(t, "nixmesh_agent_panics_total", ""); n != 0 {
		t.Errorf("the agent of %s survived %.0f panics", v.name, n)
	}
	for _, host := range v.f.hosts {
		v.sees(t, "web", host, agentapi.EndpointHealthy)
	}
}

// document is what a host's agent acts on.
func (v *victim) document(t *testing.T) *mesh.Document {
	t.Helper()
	text, err := v.client.Document(asking(t), "")
	if err != nil {
		t.Fatal(err)
	}
	d, err := mesh.ParseDocument(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// picture is what a host's agent knows of all hosts and endpoints, as a text that
// is the same where they agree.
func (f *fleet) picture(t *testing.T, host string) string {
	t.Helper()
	s, err := f.client(t, host).Status(asking(t))
	if err != nil {
		return err.Error()
	}
	type seen struct {
		Document  string
		Hosts     map[string][2]string
		Endpoints map[string]int
		Ready     map[string][2]int
	}
	p := seen{Hosts: map[string][2]string{}, Endpoints: map[string]int{}, Ready: map[string][2]int{}}
	if s.Document != nil {
		p.Document = s.Document.Hash
	}
	for _, h := range s.Hosts {
		gossip := h.Gossip
		if gossip == agentapi.GossipSelf {
			gossip = agentapi.GossipAlive
		}
		p.Hosts[h.Name] = [2]string{gossip, h.Problem}
	}
	for _, service := range s.Services {
		p.Ready[service.Name] = [2]int{service.Ready, service.Total}
		for _, e := range service.Endpoints {
			p.Endpoints[fmt.Sprintf("%s %s on %s: %s, %s, %d of %d", service.Name, e.Version, e.Host, e.State, e.Standing, e.Ready, e.Copies)]++
		}
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// gossipKeyText is what a host encrypts membership with.
func (f *fleet) gossipKeyText(t *testing.T, host string) []byte {
	t.Helper()
	text, err := os.ReadFile(f.inside(host, "run/nixmesh/secrets/current/nixmesh-agent/gossip.key"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// operatorKey is the lab's operator's, which all its hosts trust.
func (f *fleet) operatorKey(t *testing.T) trust.SSHKey {
	t.Helper()
	key, err := trust.LoadSSHKey(filepath.Join(f.dir, ".nixmesh/lab/id_ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// successor is the document that follows one, with the same contents, as the
// operator signs it.
func (f *fleet) successor(t *testing.T, live *mesh.Document) *mesh.Document {
	t.Helper()
	return seal(t, mesh.NextDocument(live, live.Config, "lab"), mesh.Namespace, f.operatorKey(t))
}

// seal signs a document with a key, for a purpose that may be wrong.
func seal(t *testing.T, d *mesh.Document, namespace string, key trust.SSHKey) *mesh.Document {
	t.Helper()
	if err := d.Sign(func(_ string, message []byte) (string, error) { return trust.Sign(key.Signer, namespace, message) }); err != nil {
		t.Fatal(err)
	}
	return d
}
