package controlplane

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// live is the hash of the document that a host acts on.
func (w *world) live(host string) string {
	if d := w.hosts[host].agent.Status().Document; d != nil {
		return d.Hash
	}
	return ""
}

// all tells what is missing until all agents act on a document.
func (w *world) all(d *mesh.Document) func() string {
	return func() string {
		for _, name := range w.names {
			if w.hosts[name].agent != nil && w.live(name) != d.Hash() {
				return name + " acts on another document"
			}
		}
		return ""
	}
}

func TestDocumentReachesAll(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		w.startAll()
		first := w.seed()
		w.eventually(30*time.Second, w.whole)
		w.hosts["h004"].stop()
		d := w.apply("h002")
		t.Logf("in force everywhere after %s", w.eventually(5*time.Second, w.all(d)))
		// A host that was away gets it from whoever is there.
		w.hosts["h004"].start()
		t.Logf("and at a host that was away after %s", w.eventually(5*time.Second, w.all(d)))
		w.eventually(5*time.Second, w.whole)
		// The first one is kept, and found by its configuration.
		if text, ok := w.hosts["h002"].agent.Document(first.Config.Hash()); !ok || !strings.Contains(string(text), `"version":`) {
			t.Errorf("the first configuration: %.80q", text)
		}
		if got := w.put("h001", d); got.Result != agentapi.ApplyInForce {
			t.Errorf("once more: %+v", got)
		}
	})
}

// An agent acts before its disk has the document, and answers after it has.
func TestDocumentWaitsForNoDisk(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		m := w.hosts["h000"]
		var kept string
		m.hook = func(a *Agent) {
			act := a.documents.act
			a.documents.act = func(d *inForce) {
				text, _ := os.ReadFile(m.state(fileDocument)) // there is none before the first
				kept = string(text)
				act(d)
			}
		}
		m.start()
		first := w.seedOne("h000")
		next := w.apply("h000")
		if want := string(seal(first.Canonical())); kept != want {
			t.Errorf("as it acts the disk has %.80q, want %.80q", kept, want)
		}
		if got, want := m.read(fileDocument), string(seal(next.Canonical())); got != want {
			t.Errorf("as it answers the disk has %.80q, want %.80q", got, want)
		}
	})
}

// Two operators apply at once: one wins everywhere, and the other one is told.
func TestTwoDocumentsAtOnce(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		w.startAll()
		first := w.seed()
		w.eventually(30*time.Second, w.whole)
		change := func(leaf time.Duration) func(c *mesh.Config) {
			return func(c *mesh.Config) { c.CA.LeafTTL = mesh.Duration(leaf) }
		}
		a, b := w.sign("anna", first, change(time.Hour)), w.sign("bert", first, change(2*time.Hour))
		winner, loser := a, b
		if b.Link().Compare(a.Link()) > 0 {
			winner, loser = b, a
		}
		if got := w.put("h000", a); got.Result != agentapi.ApplyInForce {
			t.Fatalf("%+v", got)
		}
		if got := w.put("h003", b); got.Result != agentapi.ApplyInForce {
			t.Fatalf("%+v", got)
		}
		t.Logf("one wins after %s", w.eventually(10*time.Second, w.all(winner)))
		for _, name := range w.names {
			got := w.put(name, loser)
			if got.Result != agentapi.ApplyFork || got.In.Operator != winner.Operator || got.In.Hash != winner.Hash() {
				t.Errorf("the loser at %s: %+v", name, got)
			}
		}
	})
}

func TestDocumentRefused(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		m := w.hosts["h000"]
		m.start()
		first := w.sign("anna", nil, nil)
		stranger := must(trust.GenerateSSHKey("carl"))(t)
		refused := func(what string, text []byte, reason string) {
			t.Helper()
			got := m.agent.Apply(context.Background(), text, api.Peer{})
			if got.Result != agentapi.ApplyRefused || !strings.Contains(got.Reason, reason) {
				t.Errorf("%s: %+v", what, got)
			}
			if s := m.agent.Status(); s.Document != nil || s.Offered == nil || !strings.Contains(s.Offered.Reason, reason) {
				t.Errorf("%s: shown as %+v", what, s.Offered)
			}
		}
		w.operators["carl"] = stranger
		refused("no operator's key", w.sign("carl", nil, nil).Canonical(), "not allowed")
		delete(w.operators, "carl")
		refused("another operator's name", func() []byte {
			d := w.sign("anna", nil, nil)
			d.Operator = "bert"
			return d.Canonical()
		}(), "")
		refused("another fleet", w.sign("anna", nil, func(c *mesh.Config) { c.Fleet = "other" }).Canonical(), "other")
		refused("cut off", first.Canonical()[:200], "")
		refused("another schema", []byte(strings.Replace(string(first.Canonical()), mesh.Schema, "nixmesh.mesh/9", 1)), "nixmesh.mesh/9")

		// A removed key stays refused, whatever generation lists it.
		if err := os.WriteFile(m.file("revoked"), []byte("nix x\n"+w.operators["anna"].Authorized+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		refused("a removed operator", first.Canonical(), "removed")
		if got := w.put("h000", w.sign("bert", nil, nil)); got.Result != agentapi.ApplyInForce {
			t.Errorf("the other operator: %+v", got)
		}
	})
}

// An operator who is added counts without a restart, and what was refused before
// is looked at again.
func TestFactsChange(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		carl := must(trust.GenerateSSHKey("carl"))(t)
		w.operators["carl"] = carl
		w.hosts["h000"].writeFacts()
		time.Sleep(2 * time.Second)
		d := w.sign("carl", w.document, nil)
		if got := w.put("h000", d); got.Result != agentapi.ApplyInForce {
			t.Fatalf("%+v", got)
		}
		time.Sleep(5 * time.Second)
		if got := w.hosts["h001"].agent.Status(); got.Document.Hash == d.Hash() || got.Offered == nil || got.Offered.From != "h000" {
			t.Fatalf("by an operator whom the host does not know: %+v, offered %+v", got.Document, got.Offered)
		}
		w.document = d
		w.hosts["h001"].writeFacts()
		w.hosts["h002"].writeFacts()
		t.Logf("taken after %s", w.eventually(10*time.Second, w.all(d)))

		// Another service, without a restart.
		w.place("api", "h001")
		w.apply("h002")
		t.Logf("a new service after %s", w.eventually(20*time.Second, func() string {
			if s := w.whole(); s != "" {
				return s
			}
			return w.state("api", "h001", agentapi.EndpointHealthy)()
		}))
	})
}
