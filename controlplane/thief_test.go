package controlplane

import (
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// said is what a host would tell of itself in an epoch, signed with some key.
func (w *world) said(host string, key trust.NodeKey, epoch uint64, health catalog.Health) *catalog.Delta {
	w.t.Helper()
	c := catalog.New(host, &nodes{self: host})
	c.Configure(w.config)
	sign := func(message []byte) ([]byte, error) { return key.Sign(trust.PurposeRecord, message), nil }
	updates := []catalog.Update{
		catalog.HostUpdate(catalog.Host{Agent: "9", Protocols: catalog.Protocols{Min: 1, Max: 1}}),
		catalog.ServiceUpdate("web", catalog.Service{Instances: []catalog.Instance{{Copy: 1, Health: health}}}),
	}
	if err := c.Start(time.Now(), epoch, updates, sign); err != nil {
		w.t.Fatal(err)
	}
	return c.Delta(time.Now(), &catalog.Digest{}, catalog.MaxDelta)
}

func TestForgedAndReplayedRecords(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		a, victim := w.hosts["h000"].agent, w.hosts["h001"]
		tell := func(d *catalog.Delta) catalog.Result {
			t.Helper()
			read := must(catalog.DecodeDelta(d.Encode()))(t)
			return a.live.Merge(time.Now(), "h002", read)
		}
		if r := tell(w.said("h001", w.hosts["h002"].node, 99, catalog.Unhealthy)); r.Taken != 0 || r.Refused == 0 {
			t.Errorf("signed by another host: %+v", r)
		}
		if r := tell(w.said("h001", must(trust.GenerateNodeKey())(t), 99, catalog.Unhealthy)); r.Taken != 0 || r.Refused == 0 {
			t.Errorf("signed by nobody: %+v", r)
		}
		var old *catalog.Delta
		a.live.look(func(c *catalog.Catalog, _ *mesh.Config, now time.Time) {
			old = c.Delta(now, &catalog.Digest{}, catalog.MaxDelta)
		})
		victim.sick("web", true)
		time.Sleep(3 * time.Second)
		if r := tell(old); r.Taken != 0 {
			t.Errorf("replayed: %+v", r)
		}
		if got := w.endpoint("h000", "web", "h001").State; got != agentapi.EndpointUnhealthy {
			t.Errorf("after all that the service is %s", got)
		}
		if _, refused := a.live.counts(); refused < 2 {
			t.Errorf("%d refused", refused)
		}
	})
}

// A node key that was replaced speaks for nobody any more, at its own address.
func TestStolenOldNodeKey(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		m := w.hosts["h001"]
		m.stop()
		oldKey, oldCert := m.node, m.cert
		time.Sleep(2 * time.Second)
		m.renew()
		m.start()
		w.eventually(30*time.Second, w.whole)
		m.stop()
		// The thief takes the host's place in the network, with the old key.
		m.node, m.cert, oldKey, oldCert = oldKey, oldCert, m.node, m.cert
		m.sick("web", true)
		thief := m.start()
		time.Sleep(30 * time.Second)
		for _, host := range []string{"h000", "h002"} {
			if got := w.endpoint(host, "web", "h001").State; got != agentapi.EndpointHealthy {
				t.Errorf("%s believes the thief: %s", host, got)
			}
			if peers := w.hosts[host].agent.peers(); peers["h001"].Connected {
				t.Errorf("%s speaks with the thief", host)
			}
		}
		if s := thief.Status(); !s.Stale && len(thief.peers()) > 0 && thief.peers()["h000"].Connected {
			t.Errorf("the thief is let in")
		}
		m.stop()
		m.node, m.cert = oldKey, oldCert
		m.sick("web", false)
		m.start()
		w.eventually(30*time.Second, w.whole)
	})
}

// A host whose SSH host key is not the pinned one is told so, and not let in.
func TestForeignHostKey(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.config.Hosts["h002"].HostKey = w.config.Hosts["h001"].HostKey
		w.startAll()
		w.seed()
		time.Sleep(20 * time.Second)
		if s := w.hosts["h002"].agent.Status(); !problem(s, "node certificate") {
			t.Errorf("not told: %+v", s.Problems)
		}
		if w.hosts["h000"].agent.peers()["h002"].Connected {
			t.Error("it is let in")
		}
	})
}

// An agent whose clock is off by a day spreads nothing of it.
func TestClockADayOff(t *testing.T) {
	for _, off := range []time.Duration{25 * time.Hour, -25 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			inWorld(t, 5, func(t *testing.T, w *world) {
				w.plain = true
				w.appoint("h000")
				w.startAll()
				w.seed()
				w.install("h000")
				w.eventually(time.Minute, w.whole)
				w.eventually(2*time.Minute, w.certified)
				m := w.hosts["h003"]
				m.stop()
				m.clock.set(off)
				m.start()
				w.eventually(time.Minute, w.whole)
				time.Sleep(5 * time.Minute)
				if missing := w.whole(); missing != "" {
					t.Error(missing)
				}
				if missing := w.certified(); missing != "" {
					t.Error(missing)
				}
				for _, name := range w.names {
					if s := w.hosts[name].agent.Status(); problem(s, "clock") != (name == m.name) {
						t.Errorf("%s tells %+v", name, s.Problems)
					}
				}
				m.sick("web", true)
				time.Sleep(3 * time.Second)
				w.eventually(5*time.Second, w.state("web", "h003", agentapi.EndpointUnhealthy))
				m.sick("web", false)
				m.stop()
				m.clock.set(0)
				m.start()
				w.eventually(time.Minute, w.whole)
				if missing := w.certified(); missing != "" {
					t.Error(missing)
				}
			})
		})
	}
}

// A host that was away for longer than a leaf lives heals by itself.
func TestAwayForLongerThanALeafLives(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.plain = true
		w.appoint("h000", "h001")
		w.config.CA.LeafTTL = mesh.Duration(time.Hour)
		w.startAll()
		w.seed()
		w.install("h000")
		w.install("h001")
		w.eventually(2*time.Minute, w.certified)
		w.hosts["h002"].stop()
		w.hosts["h000"].stop() // one authority is enough
		time.Sleep(3 * time.Hour)
		d := w.apply("h001")
		w.hosts["h002"].start()
		t.Logf("its leaf is new after %s", w.eventually(5*time.Minute, w.certified))
		w.eventually(time.Minute, w.all(d))
	})
}

// appoint makes hosts authorities in the configuration.
func (w *world) appoint(hosts ...string) { w.config.CA.Authorities = hosts }

// install gives an authority its intermediate, as a deploy does.
func (w *world) install(host string) {
	w.t.Helper()
	a := w.hosts[host].agent
	request := must(a.AuthorityRequest())(w.t)
	signed := must(w.root.SignAuthority([]byte(request.Request), host, trust.IntermediateTTL, time.Now()))(w.t)
	if err := a.InstallAuthority(signed); err != nil {
		w.t.Fatal(err)
	}
}

// certified tells what is missing until every agent that runs has a leaf that
// serves now, by the right clock.
func (w *world) certified() string {
	bundle := must(trust.NewBundle(w.root.Domain, w.root.Certificate))(w.t)
	for _, name := range w.names {
		a := w.hosts[name].agent
		if a == nil {
			continue
		}
		leaf, ok := a.certificates.keeper.Leaf("web")
		if !ok {
			return name + " has no leaf: " + problemsOf(a)
		}
		if _, err := bundle.Verify(leaf.Chain, time.Now()); err != nil {
			return name + ": " + err.Error()
		}
	}
	return ""
}

func problemsOf(a *Agent) string {
	var list []string
	for _, c := range a.Certs().Leaves {
		list = append(list, c.Name+": "+c.Problem)
	}
	return strings.Join(list, "; ")
}
