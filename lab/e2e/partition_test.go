package e2e

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// TestPartition: hosts that were cut off from each other know the same again
// within seconds, whatever happened meanwhile; and agents of different releases
// exchange what they can. NIXMESH_TEST_PARTITION says how long the first cut
// lasts, instead of 10 s.
func TestPartition(t *testing.T) {
	t.Parallel()
	length, err := time.ParseDuration(cmp.Or(os.Getenv("NIXMESH_TEST_PARTITION"), "10s"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(t, "h1", "h2", "h3")
	f.deploy().want(t, 0)
	f.wantWhole(t)
	pids := map[string]string{}
	for _, host := range f.hosts {
		pids[host] = f.agentPID(host)
	}

	t.Run("no ghost is left", func(t *testing.T) { f.testPartition(t, length) })
	t.Run("a document that one host missed", func(t *testing.T) { f.testMissedDocument(t) })
	for host, pid := range pids {
		if now := f.agentPID(host); now != pid {
			t.Errorf("the agent of %s was process %s and is %s", host, pid, now)
		}
	}
	t.Run("two protocols", func(t *testing.T) { f.testProtocols(t) })
}

// agree waits until all agents have one picture of the fleet, and gives it.
func (f *fleet) agree(t *testing.T) (picture string) {
	t.Helper()
	pictures := map[string]string{}
	if !within(patience, func() bool {
		for _, host := range f.hosts {
			pictures[host] = f.picture(t, host)
		}
		first := pictures[f.hosts[0]]
		whole := !strings.Contains(first, agentapi.GossipDead) && !strings.Contains(first, agentapi.GossipSuspect)
		for _, p := range pictures {
			whole = whole && p == first
		}
		return whole
	}) {
		t.Fatalf("the agents do not agree after %s: %v", patience, pictures)
	}
	return pictures[f.hosts[0]]
}

// gossip is what a host's agent hears of another.
func gossipOf(s *agentapi.Status, host string) string {
	for _, h := range s.Hosts {
		if h.Name == host {
			return h.Gossip
		}
	}
	return ""
}

// testPartition cuts h1 off from h2 and h3, while services change on both sides.
func (f *fleet) testPartition(t *testing.T, length time.Duration) {
	before := f.agree(t)
	h1, h2 := f.victim(t, "h1"), f.victim(t, "h2")
	began := time.Now()
	f.lab("partition", "h1", "h2,h3").want(t, 0)
	until(t, "both sides miss the other", func() bool {
		return gossipOf(h1.status(t), "h2") == agentapi.GossipDead && gossipOf(h2.status(t), "h1") == agentapi.GossipDead
	})
	t.Logf("both sides missed the other after %.1f s", time.Since(began).Seconds())
	// The guard is at rest below four hosts: who sees one of three takes the others out.
	for _, v := range []*victim{h1, h2} {
		if v.status(t).Frozen {
			t.Errorf("the guard of %s holds among three hosts", v.name)
		}
	}
	h1.sees(t, "web", "h1", agentapi.EndpointHealthy)
	h2.sees(t, "web", "h3", agentapi.EndpointHealthy)
	for _, gone := range []struct {
		who *victim
		of  string
	}{{h1, "h2"}, {h1, "h3"}, {h2, "h1"}} {
		until(t, gone.who.name+" offers nothing on "+gone.of, func() bool {
			e := gone.who.endpoint(t, "web", gone.of)
			return e == nil || e.State == agentapi.EndpointUnhealthy
		})
	}
	f.ssh("h1", "systemctl stop web").want(t, 0) // nobody can tell h2 and h3
	time.Sleep(time.Until(began.Add(length)))    // how long it lasts is the point
	healed := time.Now()
	f.lab("heal").want(t, 0)
	f.wantConvened(t)
	t.Logf("healed after %s: all alive again after %.1f s", length, time.Since(healed).Seconds())
	h2.sees(t, "web", "h1", agentapi.EndpointUnhealthy)
	f.ssh("h1", "systemctl start web").want(t, 0)
	h2.sees(t, "web", "h1", agentapi.EndpointHealthy)
	until(t, "all is as it was before: "+before, func() bool { return f.agree(t) == before })
}

// testMissedDocument publishes twice while h3 is cut off, by itself first and
// then along with an operator.
func (f *fleet) testMissedDocument(t *testing.T) {
	h1, h2, h3 := f.victim(t, "h1"), f.victim(t, "h2"), f.victim(t, "h3")
	old := h3.document(t)
	f.lab("partition", "h3", "h1,h2").want(t, 0)
	latest := old
	for range 2 {
		latest = f.successor(t, latest)
		applied, err := h1.client.Apply(asking(t), latest.Canonical())
		if err != nil || applied.Result != agentapi.ApplyInForce {
			t.Fatalf("%+v, %v", applied, err)
		}
		began := time.Now()
		until(t, "h2 has it from h1", func() bool { return h2.status(t).Document.Hash == latest.Hash() })
		t.Logf("h2 acts on version %d after %.2f s", latest.Version, time.Since(began).Seconds())
	}
	if s := h3.status(t); s.Document.Hash != old.Hash() {
		t.Fatalf("h3 is cut off, and acts on %+v", s.Document)
	}
	healed := time.Now()
	f.lab("heal").want(t, 0)
	until(t, "h3 catches up", func() bool { return h3.status(t).Document.Hash == latest.Hash() })
	t.Logf("h3 caught up %.1f s after the cut was healed", time.Since(healed).Seconds())
	f.wantConvened(t)
}

// speaks restarts a host's agent as one of a release that speaks these protocols
// with others.
func (f *fleet) speaks(t *testing.T, host, protocols string) {
	t.Helper()
	const file = "/run/systemd/system/nixmesh-agent.service.d/protocols.conf"
	f.ssh(host, fmt.Sprintf(`mkdir -p "$(dirname %[1]s)" && printf '[Service]\nEnvironment=NIXMESH_DEBUG_PROTOCOLS=%[2]s\n' > %[1]s && systemctl daemon-reload && systemctl restart %[3]s`,
		file, protocols, agentUnit)).want(t, 0)
}

// flip stops and starts a service, and wants that others see both.
func (f *fleet) flip(t *testing.T, host string, others ...*victim) {
	t.Helper()
	for _, step := range []struct{ verb, state string }{{"stop", agentapi.EndpointUnhealthy}, {"start", agentapi.EndpointHealthy}} {
		f.ssh(host, "systemctl "+step.verb+" web").want(t, 0)
		for _, v := range others {
			v.sees(t, "web", host, step.state)
		}
	}
}

// testProtocols lets h1, h2 and h3 speak 1, 1 or 2, and 2: as a fleet half-way
// through an upgrade, and one that skipped a release.
func (f *fleet) testProtocols(t *testing.T) {
	f.speaks(t, "h2", "1-2")
	f.wantConvened(t)
	h1, h2, h3 := f.victim(t, "h1"), f.victim(t, "h2"), f.victim(t, "h3")
	f.flip(t, "h2", h1, h3)
	f.flip(t, "h1", h2, h3)
	protocols := func(v *victim) (found [2]int) {
		for _, h := range v.status(t).Hosts {
			if h.Name == "h2" {
				found = h.Protocols
			}
		}
		return found
	}
	until(t, "h1 shows protocols 1 and 2 of h2", func() bool { return protocols(h1) == [2]int{1, 2} })
	f.speaks(t, "h3", "2-2")
	f.wantConvened(t)
	told := func(v *victim, of string) bool {
		for _, h := range v.status(t).Hosts {
			if h.Name == of {
				return strings.Contains(h.Problem, "speaks protocols")
			}
		}
		return false
	}
	for _, pair := range []struct {
		v  *victim
		of string
	}{{h1, "h3"}, {h3, "h1"}} {
		until(t, pair.v.name+" tells that it cannot speak with "+pair.of, func() bool { return told(pair.v, pair.of) })
	}
	f.flip(t, "h3", h1, h2) // h2 relays
	f.flip(t, "h1", h2, h3)
	latest := f.successor(t, h1.document(t))
	if applied, err := h1.client.Apply(asking(t), latest.Canonical()); err != nil || applied.Result != agentapi.ApplyInForce {
		t.Fatalf("%+v, %v", applied, err)
	}
	f.wantConvened(t)
	if h1.status(t).Document.Hash != latest.Hash() {
		t.Errorf("the fleet acts on another document")
	}
}
