package catalog

import (
	"slices"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

func (f *fleet) endpoint(at, service, host string) Endpoint {
	e, _ := f.at[at].Endpoint(f.now, f.config, service, "", host)
	return e
}

func TestEndpoints(t *testing.T) {
	f := newFleet(t, 3, "api")
	f.config.Services["api"].Versions = []mesh.Version{{Name: "v1", Hosts: mesh.Names{"h0", "h1"}}, {Name: "v2", Hosts: mesh.Names{"h1"}}}
	since := start.Add(-time.Minute)
	f.publish("h0", ServiceUpdate("api", Service{Instances: []Instance{
		{Version: "v1", Copy: 1, Health: Healthy}, {Version: "v1", Copy: 2, Health: Unhealthy, Since: since, Reason: "connection refused"},
	}}))
	f.publish("h1", ServiceUpdate("api", Service{Instances: []Instance{{Version: "v1", Copy: 1, Health: Starting}, {Version: "v2", Copy: 1, Health: Healthy}}}),
		HostUpdate(Host{Agent: "1", Protocols: Protocols{1, 1}, Port: 15444}))
	f.publish("h2", ServiceUpdate("api", Service{Instances: []Instance{{Version: "v1", Copy: 1, Health: Healthy}}}))
	f.pullAll()
	got := f.at["h2"].Endpoints(f.now, f.config, "api")
	want := []Endpoint{
		{Service: "api", Version: "v1", Host: "h0", Address: "10.0.0.1", Port: 15443, Zone: "z1", State: StateHealthy, Ready: 1, Copies: 2, Standing: Up, Since: got[0].Since, Reason: "connection refused"},
		{Service: "api", Version: "v1", Host: "h1", Address: "10.0.0.2", Port: 15444, Zone: "z1", State: StateUnhealthy, Copies: 1, Standing: Up},
		{Service: "api", Version: "v2", Host: "h1", Address: "10.0.0.2", Port: 15444, Zone: "z1", State: StateHealthy, Ready: 1, Copies: 1, Standing: Up},
	}
	if !slices.Equal(got, want) || !got[0].Since.Equal(since) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestEndpointStates(t *testing.T) {
	f := newFleet(t, 3, "web")
	f.publish("h1", ServiceUpdate("web", one(Healthy)))
	f.pullAll()
	state := func(what string, want State) {
		t.Helper()
		if got := f.endpoint("h0", "web", "h1").State; got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	state("healthy", StateHealthy)
	f.at["h0"].SetLiveness(f.now, "h1", Suspect)
	f.at["h0"].Tick(f.now.Add(suspectGrace))
	state("suspect", StateDegraded)
	f.at["h0"].SetLiveness(f.now, "h1", Alive)
	drain := f.seal(Override{Kind: Drain, Host: "h1"})
	f.must(f.at["h0"].SetOverride(f.now, drain))
	state("drained by an operator", StateDraining)
	f.must(f.at["h0"].SetOverride(f.now, f.seal(Override{Kind: Drain, Host: "h1", Cleared: true, ByNode: true, Stamp: drain.Stamp.After(f.now, "h1")})))
	state("after its next commit", StateHealthy)
	f.publish("h1", ServiceUpdate("web", Service{Instances: []Instance{{Copy: 1, Health: Healthy, Draining: true}}}))
	f.pull("h0", "h1")
	state("draining", StateDraining)
	f.publish("h1", HostUpdate(Host{Agent: "1", Protocols: Protocols{1, 1}, Draining: true}), ServiceUpdate("web", one(Unhealthy)))
	f.pull("h0", "h1")
	state("unhealthy and draining", StateUnhealthy)
	f.publish("h1", HostUpdate(plainHost), ServiceUpdate("web", one(Healthy)))
	f.pull("h0", "h1")
	f.kill("h0", "h1")
	state("dead", StateUnhealthy)
	f.at["h0"].Tick(f.now.Add(deadLife))
	state("dead for long", 0)
}

func TestPending(t *testing.T) {
	f := newFleet(t, 3, "web", "api")
	f.config.Services["api"].Versions = []mesh.Version{{Name: "v1", Hosts: mesh.Names{"h0"}}}
	f.config.Services["web"].Versions = []mesh.Version{{Hosts: mesh.Names{"h0", "h1", "h2"}}}
	f.publish("h0", ServiceUpdate("web", one(Healthy)), ServiceUpdate("api", Service{Instances: []Instance{{Version: "v2", Copy: 1, Health: Healthy}}}))
	f.must(f.at["h0"].Publish(f.now, []Update{ServiceUpdate("old", one(Healthy))}, f.keys.signer("h0")))
	f.pull("h1", "h0")
	got := f.at["h1"].Pending(f.config)
	want := []Pending{
		{"h0", "api", "v1", NotDeployed}, {"h0", "api", "v2", NotConfigured}, {"h0", "old", "", NotConfigured},
		{"h1", "web", "", NotDeployed}, {"h2", "web", "", NotHeard},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestFlappingIsDamped(t *testing.T) {
	f := newFleet(t, 2, "web")
	f.publish("h1", ServiceUpdate("web", one(Healthy)))
	f.pull("h0", "h1")
	flap := func(every time.Duration) Endpoint {
		for _, health := range []Health{Unhealthy, Healthy} {
			f.now = f.now.Add(every / 2)
			f.publish("h1", ServiceUpdate("web", one(health)))
			f.pull("h0", "h1")
			if health == Unhealthy && f.endpoint("h0", "web", "h1").State != StateUnhealthy {
				t.Fatal("getting ill does not act at once")
			}
		}
		return f.endpoint("h0", "web", "h1")
	}
	for i := range 20 {
		if e := flap(5 * time.Minute); e.Flapping || e.State != StateHealthy {
			t.Fatalf("recovery %d in five minutes is held back", i)
		}
	}
	f.now = f.now.Add(time.Hour)
	n := 1
	for !flap(4 * time.Second).Flapping {
		if n++; n > 10 {
			t.Fatal("ten flaps in a row are shown")
		}
	}
	if f.endpoint("h0", "web", "h1").State != StateDegraded {
		t.Error("what flaps is not degraded")
	}
	if n < 3 || n > 4 {
		t.Errorf("held back from recovery %d on", n)
	}
	generation, held := f.at["h0"].Generation(), f.now
	for f.endpoint("h0", "web", "h1").Flapping {
		f.now = f.now.Add(time.Second)
		f.at["h0"].Tick(f.now)
	}
	if took := f.now.Sub(held); took < 30*time.Second || took > 3*flapHalfLife {
		t.Errorf("shown again after %s", took)
	}
	if changes, _ := f.at["h0"].Since(generation); len(changes) != 1 {
		t.Error(changes)
	}
	f.at["h0"].Tick(f.now.Add(time.Hour))
	if len(f.at["h0"].owners["h1"].flaps) != 0 {
		t.Error("it is remembered for ever")
	}
}

func TestChanges(t *testing.T) {
	f := newFleet(t, 2, "web", "api")
	f.publish("h1", ServiceUpdate("web", one(Healthy)), ServiceUpdate("api", one(Healthy)))
	f.pull("h0", "h1")
	c := f.at["h0"]
	g := c.Generation()
	for _, health := range []Health{Unhealthy, Healthy, Unhealthy} {
		f.publish("h1", ServiceUpdate("web", one(health)))
		f.pull("h0", "h1")
	}
	changes, ok := c.Since(g)
	if want := (Change{What: ServiceChanged, Host: "h1", Name: "web"}); !ok || len(changes) != 1 || changes[0] != want {
		t.Error(changes, ok)
	}
	if changes, ok := c.Since(c.Generation()); !ok || len(changes) != 0 {
		t.Error(changes, ok)
	}
	if _, ok := c.Since(c.Generation() + 1); ok {
		t.Error("a generation of the future")
	}
	for i := range 3 * maxChanges {
		c.log.add(Change{What: OtherChanged, Name: "x", Kind: Kind(i)})
	}
	if _, ok := c.Since(g); ok {
		t.Error("what was forgotten is given")
	}
	if changes, ok := c.Since(c.Generation() - maxChanges); !ok || len(changes) != maxChanges || len(c.log.latest) > 2*maxChanges {
		t.Error(len(changes), ok, len(c.log.latest))
	}
}
