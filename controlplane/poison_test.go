package controlplane

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/api"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
)

// A document that makes a part of the agent fail is not acted on, nor looked at
// again; what was acted on before goes on.
func TestPoisonedDocument(t *testing.T) {
	inWorld(t, 2, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		m := w.hosts["h000"]
		bad := w.sign("anna", w.document, func(c *mesh.Config) { c.CA.LeafTTL = mesh.Duration(time.Hour) })
		act, failures := m.agent.documents.act, 0
		brittle := func(act func(*inForce)) func(*inForce) {
			return func(d *inForce) {
				if d.link.Hash == bad.Hash() {
					failures++
					panic("a flaw")
				}
				act(d)
			}
		}
		m.agent.documents.act = brittle(act)
		for range 3 {
			got := w.put("h000", bad)
			if got.Result != agentapi.ApplyRefused || got.In.Hash != w.document.Hash() {
				t.Fatalf("%+v", got)
			}
		}
		if failures != 1 {
			t.Errorf("it failed %d times", failures)
		}
		if missing := w.whole(); missing != "" {
			t.Error(missing)
		}
		// After a restart, too.
		m.stop()
		m.start()
		if got := w.put("h000", bad); got.Result != agentapi.ApplyRefused || !strings.Contains(got.Reason, ErrPoison.Error()) {
			t.Errorf("after a restart: %+v", got)
		}
		if got := m.agent.Status(); got.Document.Hash != w.document.Hash() {
			t.Errorf("after a restart it acts on %+v", got.Document)
		}
		// Signed again, and with another nixmesh, which may have no such flaw.
		if got := w.put("h000", bad); !strings.Contains(got.Reason, "signed again as a new version, or with a newer nixmesh") {
			t.Errorf("no way out is told: %s", got.Reason)
		}
		m.stop()
		m.change = func(o *Options) { o.Version = "1.0.1" }
		m.start()
		if got := w.put("h000", bad); got.Result != agentapi.ApplyInForce {
			t.Errorf("with a nixmesh that has no such flaw: %+v", got)
		}
		// The other host, which has no such flaw, and the next document are fine.
		if got := w.put("h001", bad); got.Result != agentapi.ApplyInForce {
			t.Errorf("the other host: %+v", got)
		}
		w.document = bad
		d := w.apply("h001")
		w.eventually(10*time.Second, w.all(d))
	})
}

// What ends the process while it is taken is set aside at the next start.
func TestDocumentThatKills(t *testing.T) {
	mark := func(m *machine, d *mesh.Document, settled bool, boot string) {
		text := d.Canonical()
		m.write(fileDocument, string(seal(text)))
		b, _ := json.Marshal([]tryMark{{What: whatDocument, Hash: hashOf(text), Boot: boot, Version: "1.0.0", Settled: settled}})
		m.write(fileTrying, string(seal(b)))
	}
	inWorld(t, 2, func(t *testing.T, w *world) {
		m := w.hosts["h000"]
		m.start()
		first := w.seedOne("h000")
		m.stop()
		bad := w.sign("anna", first, func(c *mesh.Config) { c.CA.LeafTTL = mesh.Duration(time.Hour) })
		starts := func(want *mesh.Document, what string) {
			t.Helper()
			a := m.start()
			if got := a.Status(); got.Document == nil || got.Document.Hash != want.Hash() {
				t.Fatalf("%s: it acts on %+v", what, got.Document)
			}
		}
		mark(m, bad, false, "another boot")
		starts(bad, "a power cut is no fault of the document")
		m.stop()
		mark(m, bad, true, "0")
		starts(bad, "it was killed")
		for n := range 2 {
			died := m.read(fileTrying)
			m.stop()
			m.write(fileTrying, died)
			if n == 0 {
				starts(bad, "it was killed again")
			}
		}
		starts(first, "it was killed a third time")
		if s := m.agent.Status(); !problem(s, fileDocument) {
			t.Errorf("not told: %+v", s.Problems)
		}
		if got := w.put("h000", bad); got.Result != agentapi.ApplyRefused {
			t.Errorf("brought again: %+v", got)
		}
		// And one that kills at once.
		worse := w.sign("anna", first, func(c *mesh.Config) { c.CA.LeafTTL = mesh.Duration(2 * time.Hour) })
		m.stop()
		m.change = func(o *Options) { o.Failed = true }
		mark(m, worse, false, "0")
		starts(first, "it failed while it was taken")
		m.change = nil
		time.Sleep(20 * time.Second)
		m.stop()
		starts(first, "what is trusted")
		m.stop()
		m.change = func(o *Options) { o.Failed, o.Version = true, "1.0.1" }
		mark(m, worse, false, "0")
		starts(worse, "it was another nixmesh that failed")
	})
}

func (w *world) seedOne(host string) *mesh.Document {
	w.t.Helper()
	d := w.sign("anna", w.document, nil)
	if got := w.put(host, d); got.Result != agentapi.ApplyInForce {
		w.t.Fatalf("%+v", got)
	}
	w.document = d
	return d
}

// brittle is the catalog's judge that fails at one signature.
type brittle struct {
	*nodes
	fails    func(message []byte) bool
	failures atomic.Int32
}

func (b *brittle) VerifyNode(host string, message, signature []byte) error {
	if b.fails(message) {
		b.failures.Add(1)
		panic("a flaw")
	}
	return b.nodes.VerifyNode(host, message, signature)
}

// A record that makes the catalog fail is found among others and left out.
func TestPoisonedRecord(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		a := w.hosts["h000"].agent
		flaw := &brittle{nodes: a.nodes, fails: func(m []byte) bool { return strings.Contains(string(m), "connection refused") }}
		a.live.mu.Lock()
		a.live.judge = flaw
		a.live.mu.Unlock()
		a.live.renew() // with that judge
		w.eventually(30*time.Second, w.whole)
		w.hosts["h001"].sick("web", true)
		time.Sleep(20 * time.Second)
		if n := flaw.failures.Load(); n == 0 || n > 4 { // in the delta, and when it was looked for
			t.Errorf("it failed %d times", n)
		}
		if got := w.endpoint("h002", "web", "h001").State; got != agentapi.EndpointUnhealthy {
			t.Errorf("who has no flaw sees %s", got)
		}
		w.eventually(30*time.Second, func() string {
			if got := w.endpoint("h000", "web", "h002").State; got != agentapi.EndpointHealthy {
				return "the others' records are " + got
			}
			return ""
		})
		w.hosts["h001"].sick("web", false)
		w.eventually(30*time.Second, w.whole)
		if n := a.poison.count(); n == 0 || n > 3 {
			t.Errorf("%d inputs are set aside", n)
		}
	})
}

func TestOverrides(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		seal := func(operator string, at time.Time) *catalog.Override {
			o, err := catalog.Seal(catalog.Override{Kind: catalog.Drain, Host: "h001", Stamp: catalog.HLC{}.After(at, operator), Life: time.Hour},
				func(message []byte) ([]byte, error) {
					text, err := w.signer(operator)("nixmesh-override", message)
					return []byte(text), err
				})
			return must(o, err)(t)
		}
		put := func(host string, b []byte) error {
			return w.hosts[host].agent.Override(context.Background(), b, api.Peer{})
		}
		drain := seal("anna", time.Now())
		if err := put("h000", drain.Bytes()); err != nil {
			t.Fatal(err)
		}
		took := w.eventually(5*time.Second, w.state("web", "h001", agentapi.EndpointDraining))
		t.Logf("drained everywhere after %s", took)
		time.Sleep(2 * time.Second)
		for _, h := range w.hosts["h002"].agent.Status().Hosts {
			if h.Name == "h001" && !h.Draining {
				t.Error("the drained host does not say so")
			}
		}
		// Replayed, forged, damaged.
		if err := put("h000", drain.Bytes()); err == nil {
			t.Error("a replay is new")
		}
		if err := put("h000", seal("anna", time.Now().Add(-time.Minute)).Bytes()); err == nil {
			t.Error("an older one wins")
		}
		if err := put("h000", drain.Bytes()[1:]); err == nil {
			t.Error("a damaged one is taken")
		}
		late := seal("anna", time.Now().Add(-time.Hour)) // on a host that never had it
		if err := put("h002", late.Bytes()); err == nil {
			t.Error("an hour-old one is taken")
		}
		time.Sleep(time.Hour)
		w.eventually(10*time.Second, w.state("web", "h001", agentapi.EndpointHealthy))
	})
}
