package controlplane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

func (w *world) addrs(names ...string) []netip.Addr {
	var list []netip.Addr
	for _, name := range names {
		list = append(list, w.hosts[name].addr)
	}
	return list
}

func TestPartitionHeals(t *testing.T) {
	for _, long := range []time.Duration{10 * time.Second, 10 * time.Minute, 15 * time.Minute} {
		t.Run(long.String(), func(t *testing.T) {
			inWorld(t, 5, func(t *testing.T, w *world) {
				w.plain = true
				w.place("db", "h000")
				w.startAll()
				w.seed()
				w.eventually(30*time.Second, w.whole)
				w.net.Partition(w.addrs("h000", "h001"), w.addrs("h002", "h003", "h004"))
				time.Sleep(long / 2)
				// Behind the cut a service goes, another falls ill.
				w.place("db", "h001")
				w.hosts["h001"].sick("web", true)
				w.apply("h003")
				time.Sleep(long / 2)
				if s := w.hosts["h000"].agent.Status(); long > 10*time.Minute && s.Frozen {
					t.Error("the minority is frozen for longer than ten minutes")
				}
				w.net.Heal()
				took := w.eventually(time.Minute, func() string {
					if s := w.state("web", "h001", agentapi.EndpointUnhealthy)(); s != "" {
						return s
					}
					return w.state("web", "h003", agentapi.EndpointHealthy)()
				})
				t.Logf("healed after %s", took)
				w.hosts["h001"].sick("web", false)
				w.eventually(time.Minute, w.whole)
				for _, name := range w.names {
					for _, s := range w.hosts[name].agent.Status().Services {
						if s.Name == "db" && (len(s.Endpoints) != 1 || s.Endpoints[0].Host != "h001") {
							t.Errorf("%s sees a ghost: %+v", name, s.Endpoints)
						}
					}
				}
			})
		})
	}
}

// A dead agent is no dead host.
func TestDeadAgentAndDeadHost(t *testing.T) {
	inWholeWorld(t, 5, func(t *testing.T, w *world) {

		w.hosts["h004"].stop()
		for range 60 {
			time.Sleep(500 * time.Millisecond)
			if got := w.endpoint("h000", "web", "h004"); got.State != agentapi.EndpointHealthy {
				t.Fatalf("after its agent was stopped: %+v", got)
			}
		}
		for _, h := range w.hosts["h000"].agent.Status().Hosts {
			if h.Name == "h004" && (h.Gossip != agentapi.GossipLeft || h.Problem == "") {
				t.Errorf("shown as %+v", h)
			}
		}
		w.hosts["h004"].start()
		w.eventually(30*time.Second, w.whole)

		w.hosts["h004"].lose()
		w.net.Cut(w.hosts["h004"].addr)
		took := w.eventually(time.Minute, w.state("web", "h004", agentapi.EndpointUnhealthy))
		t.Logf("a dead host is out after %s", took)
		if took > 15*time.Second {
			t.Errorf("it took %s", took)
		}
		w.net.Mend(w.hosts["h004"].addr)
		took = w.eventually(time.Minute, w.state("web", "h004", agentapi.EndpointHealthy))
		t.Logf("its host answers again after %s", took)
		w.hosts["h004"].start()
		w.eventually(30*time.Second, w.whole)
	})
}

func TestConvergesUnderLoss(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		w.net.SetLoss(0.2)
		w.startAll()
		w.seed()
		t.Logf("whole after %s", w.eventually(2*time.Minute, w.whole))
		w.hosts["h002"].sick("web", true)
		time.Sleep(2 * time.Second)
		t.Logf("ill everywhere after %s", w.eventually(time.Minute, w.state("web", "h002", agentapi.EndpointUnhealthy)))
	})
}

// Everybody is down and one host starts: it serves from its disk at once.
func TestServesFromDisk(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		for _, name := range w.names {
			w.hosts[name].stop()
		}
		w.net.Cut(w.hosts["h001"].addr)
		w.net.Cut(w.hosts["h002"].addr)
		time.Sleep(time.Hour)
		a := w.hosts["h000"].start()
		s := a.Status()
		if !s.Stale || s.Document == nil || s.Document.Hash != w.document.Hash() || len(s.Services) != 1 {
			t.Fatalf("right after the start: %+v", s)
		}
		for _, e := range s.Services[0].Endpoints {
			if e.State != agentapi.EndpointHealthy {
				t.Errorf("right after the start: %+v", e)
			}
		}
		if a.Ready() != nil {
			t.Error(a.Ready())
		}
		w.net.Mend(w.hosts["h001"].addr)
		w.net.Mend(w.hosts["h002"].addr)
		w.startAll()
		w.eventually(30*time.Second, w.whole)
		if s := a.Status(); s.Stale {
			t.Error("still stale with all others there")
		}
	})
}

// A restart of an agent makes nobody's service ill or gone.
func TestRestartIsNoNews(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, w *world) {
		w.startAll()
		w.seed()
		w.eventually(30*time.Second, w.whole)
		events, stop := w.hosts["h001"].agent.Events()
		defer stop()
		w.hosts["h000"].stop()
		time.Sleep(3 * time.Second)
		w.hosts["h000"].start()
		w.eventually(30*time.Second, w.whole)
		time.Sleep(10 * time.Second)
		for len(events) > 0 {
			if e := <-events; e.Kind == agentapi.EventService && e.State != agentapi.EndpointHealthy {
				t.Errorf("%+v", e)
			}
		}
	})
}
