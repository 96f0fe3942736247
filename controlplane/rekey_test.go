package controlplane

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/ca"
	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/trust"
)

// A host that slept through a rotation of the gossip key gets it from an
// authority.
func TestGossipKeyMissed(t *testing.T) {
	for what, own := range map[string][][]byte{"another": {bytes.Repeat([]byte{9}, gossip.KeySize)}, "none": nil} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, 3, func(t *testing.T, w *world) {
				w.plain = true
				w.appoint("h000", "h002")
				w.hosts["h002"].change = func(o *Options) { o.GossipKeys = own }
				w.startAll()
				w.seed()
				time.Sleep(10 * time.Second)
				// Gossip misses it; its services are there all the same.
				if got := w.endpoint("h000", "web", "h002"); got.State != agentapi.EndpointHealthy {
					t.Errorf("without gossip: %+v", got)
				}
				t.Logf("let in after %s", w.eventually(time.Minute, w.whole))
			})
		})
	}
}

// The gossip key is replaced by hosts that start with the new one, one after the
// other: each is let in with the old one, and in the end nobody opens that.
func TestGossipKeyReplaced(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, gossip.KeySize) }
	for what, files := range map[string][][][]byte{
		"at once":             {{key(9)}},
		"with both first":     {{key(9), key(7)}, {key(9)}},
		"as memberlist wants": {{key(7), key(9)}, {key(9), key(7)}, {key(9)}},
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, 4, func(t *testing.T, w *world) {
				w.plain = true
				w.config.CA.Authorities = []string{"h000", "h001"}
				w.startAll()
				w.seed()
				w.eventually(30*time.Second, w.whole)
				for _, keys := range files {
					for i, name := range w.names {
						m := w.hosts[name]
						m.change = func(o *Options) { o.GossipKeys = keys }
						m.stop()
						m.start()
						w.eventually(2*time.Minute, w.whole)
						time.Sleep(2 * askKeysEvery)
						differs := problem(m.agent.Status(), "not this host's credential")
						if i < len(w.names)-1 && what == "at once" && !differs {
							t.Errorf("%s does not say that it uses another key: %+v", name, m.agent.Status().Problems)
						}
					}
				}
				for range 2 * askKeysEvery / time.Second {
					time.Sleep(time.Second)
					if missing := w.whole(); missing != "" {
						t.Errorf("on the way to the new key: %s", missing)
					}
				}
				for _, name := range w.names {
					a := w.hosts[name].agent
					if got := a.fleet.gossip.Load().Keys(); len(got) != 1 || got[0] != gossip.Fingerprint(key(9)) {
						t.Errorf("%s has the keys %v", name, got)
					}
					if problems := a.Status().Problems; len(problems) != 0 {
						t.Errorf("%s: %+v", name, problems)
					}
				}
			})
		})
	}
}

// A host gets another address: gossip and exchange begin anew there, the agent
// does not.
func TestAddressChanges(t *testing.T) {
	inWholeWorld(t, 3, func(t *testing.T, w *world) {
		epoch := w.hosts["h002"].agent.live.number()
		w.hosts["h002"].move(w, 99)
		d := w.sign("anna", w.document, nil)
		for _, name := range []string{"h000", "h002"} {
			w.put(name, d)
		}
		w.document = d
		t.Logf("whole after %s", w.eventually(time.Minute, w.whole))
		if got := w.hosts["h002"].agent.live.number(); got != epoch {
			t.Errorf("epoch %d, before %d", got, epoch)
		}
	})
}

// With a new CA the mesh has another name, which agents that run take on, too:
// else those that start later would be alone.
func TestNewCA(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		w.root = must(trust.NewRoot("shop", time.Now()))(t)
		w.config.TrustDomain = string(w.root.Domain)
		for _, name := range w.names {
			w.hosts[name].writeFacts()
		}
		w.apply("h000")
		w.eventually(30*time.Second, w.whole)
		w.hosts["h001"].stop()
		w.hosts["h001"].start()
		took := w.eventually(30*time.Second, w.whole)
		t.Logf("whole after %s", took)
	})
}

// Roots that changed wait for a document that is taken: else the one before could
// be joined with them after it.
func TestRootsWaitForTheirTurn(t *testing.T) {
	inWorld(t, 1, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		m := w.hosts["h000"]
		w.root = must(trust.NewRoot("shop", time.Now()))(t)
		m.agent.documents.turn.take()
		m.writeFacts()
		time.Sleep(10 * time.Second)
		early := problem(m.agent.Status(), "roots of this host's facts")
		m.agent.documents.turn.give()
		time.Sleep(2 * time.Second)
		if late := problem(m.agent.Status(), "roots of this host's facts"); early || !late {
			t.Errorf("told early %v, later %v: %+v", early, late, m.agent.Status().Problems)
		}
	})
}

// Who asks without a word is no reason to refuse all others, whatever the agent
// made of it.
func TestNothingIsNoPoison(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	a := must(New(w.hosts["h000"].options()))(t)
	defer func() { _ = a.Stop(t.Context()) }()
	ask := a.syncOptions(netip.AddrPort{}).Handlers[methodChallenge]
	func() {
		defer func() { _ = recover() }()
		issuer := a.certificates.issuer
		defer func() { a.certificates.issuer = issuer }()
		a.certificates.issuer = &ca.Issuer{} // with it the agent fails
		_, _ = ask(t.Context(), "h001", nil)
	}()
	if _, err := ask(t.Context(), "h001", nil); errors.Is(err, ErrPoison) {
		t.Error(err)
	}
}

// A host is taken out of the mesh and into it again.
func TestHostLeavesAndComes(t *testing.T) {
	inWholeWorld(t, 3, func(t *testing.T, w *world) {
		host := w.config.Hosts["h002"]
		delete(w.config.Hosts, "h002")
		w.place("web", "h000", "h001")
		d := w.apply("h000")
		w.put("h002", d) // nobody else would tell it: they speak with it no more
		w.eventually(10*time.Second, w.all(d))
		time.Sleep(2 * time.Second)
		out := w.hosts["h002"].agent
		if s := out.Status(); !problem(s, "does not name this host") || out.Ready() != nil {
			t.Errorf("the host that was taken out: %+v", s.Problems)
		}
		for _, name := range []string{"h000", "h001"} {
			s := w.hosts[name].agent.Status()
			if len(s.Hosts) != 2 || w.endpoint(name, "web", "h002").State != "" {
				t.Errorf("%s still knows it: %+v", name, s)
			}
		}
		w.config.Hosts["h002"] = host
		w.place("web", w.names...)
		d = w.apply("h000")
		w.put("h002", d)
		t.Logf("whole after %s", w.eventually(30*time.Second, w.whole))
	})
}

// The power fails again and again, at once and one host after the other.
func TestPowerCuts(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.plain = true
		w.startAll()
		w.seed()
		for round := range 5 {
			w.eventually(time.Minute, w.whole)
			for i, name := range w.names {
				if round%2 == 0 || i == round%3 {
					w.hosts[name].lose()
				}
			}
			time.Sleep(time.Duration(round) * 7 * time.Second)
			for _, name := range w.names {
				w.hosts[name].boot++
			}
			w.startAll()
		}
		w.eventually(time.Minute, w.whole)
	})
}
