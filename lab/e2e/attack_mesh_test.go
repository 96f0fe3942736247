package e2e

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// forgedDocument is a mesh document that nobody should act on.
type forgedDocument struct {
	what, reason string
	text         []byte
	hash         string // where it has one
}

// forgedDocuments would follow a document.
func (i *intrusion) forgedDocuments(t *testing.T, live *mesh.Document) []forgedDocument {
	t.Helper()
	lab := i.operatorKey(t)
	stranger, err := trust.GenerateSSHKey("stranger")
	if err != nil {
		t.Fatal(err)
	}
	release := int64(0)
	follows := func(operator string) *mesh.Document { // the first is what the operator would sign
		d := mesh.NextDocument(live, live.Config, operator)
		d.Release = release
		release++
		return d
	}
	config := *live.Config
	config.Fleet = "another"
	var all []forgedDocument
	for _, c := range []struct {
		what, reason string
		d            *mesh.Document
	}{
		{"a key that is no operator's", "none of the", seal(t, follows("lab"), mesh.Namespace, stranger)},
		{"a signature for another purpose", "another purpose", seal(t, follows("lab"), trust.NamespaceRelease, lab)},
		{"another operator's name", "the document names anna", seal(t, follows("anna"), mesh.Namespace, lab)},
		{"another fleet", "it is of the fleet", seal(t, mesh.NextDocument(live, &config, "lab"), mesh.Namespace, lab)},
	} {
		all = append(all, forgedDocument{c.what, c.reason, c.d.Canonical(), c.d.Hash()})
	}
	changed := seal(t, follows("lab"), mesh.Namespace, lab)
	changed.Release += 7
	return append(all, forgedDocument{"a text that was changed", "does not match", changed.Canonical(), changed.Hash()})
}

// offers waits until a victim shows a document that it does not act on.
func (v *victim) offers(t *testing.T, hash, from, reason string) {
	t.Helper()
	var last *agentapi.Offered
	if !within(patience, func() bool {
		last = v.status(t).Offered
		return last != nil && last.From == from && strings.Contains(last.Reason, reason) && (hash == "" || last.Hash == hash)
	}) {
		t.Fatalf("%s shows %+v as offered; want %.12s from %s, %q", v.name, last, hash, from, reason)
	}
}

// testDocuments: documents that somebody with root on h1 puts to its agent.
func (i *intrusion) testDocuments(t *testing.T) {
	live := i.h1.document(t)
	for _, d := range i.forgedDocuments(t, live) {
		applied, err := i.h1.client.Apply(asking(t), d.text)
		if err != nil || applied.Result != agentapi.ApplyRefused || !strings.Contains(applied.Reason, d.reason) || applied.In.Hash != live.Hash() {
			t.Errorf("%s: %+v, %v", d.what, applied, err)
		}
		i.h1.offers(t, d.hash, "local", d.reason)
	}
	for what, text := range map[string][]byte{"no document": []byte("{}\n"), "no JSON": bytes.Repeat([]byte{0xff}, 1<<20)} {
		if applied, err := i.h1.client.Apply(asking(t), text); err != nil || applied.Result != agentapi.ApplyRefused || applied.Reason == "" {
			t.Errorf("%s: %+v, %v", what, applied, err)
		}
	}
	latest := i.successor(t, live)
	if applied, err := i.h1.client.Apply(asking(t), latest.Canonical()); err != nil || applied.Result != agentapi.ApplyInForce {
		t.Fatalf("%+v, %v", applied, err)
	}
	applied, err := i.h1.client.Apply(asking(t), live.Canonical())
	if err != nil || applied.Result != agentapi.ApplyFork || !strings.Contains(applied.Reason, "does not continue it") || applied.In.Hash != latest.Hash() {
		t.Errorf("the version before: %+v, %v", applied, err)
	}
	i.wantConvened(t)
	if s := i.h1.status(t); s.Document.Hash != latest.Hash() || s.Offered != nil {
		t.Errorf("in force %+v, offered %+v", s.Document, s.Offered)
	}
}

// testPeerDocuments: documents that an agent in h2's place offers.
func (i *intrusion) testPeerDocuments(t *testing.T) {
	live := i.h3.document(t)
	l := i.lie(t, "h2", live.Config)
	defer l.stop(t)
	for _, d := range i.forgedDocuments(t, live) {
		l.announce(t, live.Version+1, d.hash, always(d.text))
		i.h3.offers(t, d.hash, "h2", d.reason)
		i.h1.offers(t, d.hash, "h2", d.reason)
	}
	if now := i.h3.document(t); now.Hash() != live.Hash() {
		t.Fatalf("h3 acts on version %d", now.Version)
	}
	old := live
	live = i.publish(t, live) // it has the hash of the first of them

	// An old one, as if it were to come: nobody goes back.
	l.announce(t, live.Version+5, old.Hash(), always(old.Canonical()))
	i.h3.offers(t, old.Hash(), "h2", "was announced as")
	if now := i.h3.document(t); now.Hash() != live.Hash() {
		t.Errorf("h3 went back to version %d", now.Version)
	}

	// No answer under a hash that nothing has; then garbage, and then no answer
	// again, under the hash of the document that comes next.
	nothing, release := strings.Repeat("ab", 32), make(chan struct{})
	l.announce(t, live.Version+9, nothing, stall(release))
	until(t, "both ask h2", func() bool { return l.questions(nothing) > 1 })
	live = i.publish(t, live)
	close(release)
	for _, serve := range []func(context.Context) ([]byte, error){always([]byte("garbage")), stall(nil)} {
		next := i.successor(t, live)
		l.announce(t, next.Version, next.Hash(), serve)
		until(t, "both ask h2", func() bool { return l.questions(next.Hash()) > 1 })
		if live = i.publish(t, live); live.Hash() != next.Hash() {
			t.Fatal("the same contents are another document")
		}
	}
}

// publish gives the next document to h1, from which h3 has to have it soon.
func (i *intrusion) publish(t *testing.T, live *mesh.Document) *mesh.Document {
	t.Helper()
	next := i.successor(t, live)
	if applied, err := i.h1.client.Apply(asking(t), next.Canonical()); err != nil || applied.Result != agentapi.ApplyInForce {
		t.Fatalf("%+v, %v", applied, err)
	}
	began := time.Now()
	until(t, "h3 has the document from h1", func() bool { return i.h3.status(t).Document.Hash == next.Hash() })
	t.Logf("h3 acts on version %d after %.2f s", next.Version, time.Since(began).Seconds())
	return next
}

// testGossip: members that are none.
func (i *intrusion) testGossip(t *testing.T) {
	config := i.h3.document(t).Config
	keys, err := gossip.ParseKeys(i.gossipKeyText(t, "h2"))
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := gossip.ParseKeys(gossip.NewKeyText())
	if err != nil {
		t.Fatal(err)
	}
	at := func(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, gossip.DefaultPort) }
	for _, c := range []struct {
		claims, reason string
		keys           [][]byte
	}{
		{"stranger", `"unknown_name"`, keys},
		{"h1", `"wrong_address"`, keys},
		{"h2", `"wrong_key"`, wrong},
	} {
		members := map[string]netip.AddrPort{c.claims: at(i.from.addr), "h3": at(i.h3.addr)}
		if c.claims != "h1" {
			members["h1"] = at(i.h1.addr)
		}
		g, err := gossip.New(gossip.Options{
			Host: c.claims, Mesh: config.TrustDomain, Members: members, Keys: c.keys, Network: i.from,
			Meta: gossip.Meta{ProtocolMin: 1, ProtocolMax: 1, DataPort: 7947, Epoch: 1 << 50, Version: "forged"},
		})
		if err != nil {
			t.Fatal(err)
		}
		i.h3.refuses(t, refusedByGossip, c.reason, 1, strings.Trim(c.reason, `"`), func() {
			if err := g.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = g.Stop(t.Context()) }) // it cannot tell anybody
		})
		if got := gossipOf(i.h3.status(t), "stranger"); got != "" {
			t.Errorf("after %s by the wrong one h3 hears of the stranger as %q", c.claims, got)
		}
		until(t, "h3 hears of h1, after "+c.claims+" by the wrong one", func() bool { return gossipOf(i.h3.status(t), "h1") == agentapi.GossipAlive })
		_ = g.Stop(t.Context())
	}
}
