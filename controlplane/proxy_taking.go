package controlplane

import (
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// awayTime is how long Envoy may take no calls before callers elsewhere are told: one
// that was killed is back by then, and a stream that breaks and comes back is no news.
const awayTime = time.Second

// taking is whether this host's Envoy takes calls. It does where it acknowledged the
// listener of the mesh in whatever version: of a configuration that it refuses, or that
// is not built, the one before acts.
type taking struct {
	since     time.Time       // when it ceased to, zero = it takes calls
	connected bool            // as it was seen last
	silent    bool            // it connected with what it had, and has not said yet what that is
	met       bool            // one has connected and said so since this agent's start
	took      bool            // one took calls since this agent's start
	version   string          // of the wanted listener that was acknowledged last
	services  map[string]bool // that this one takes calls for, nil before the first
	drained   bool            // callers knew that it would be away
	shut      map[string]shut // services that it has no way in to
}

// shut is why Envoy has no way in to a service, whatever becomes of the mesh.
type shut struct {
	why   string
	since time.Time
}

// seeTaking looks at whether Envoy takes calls. Nothing is known while nobody can
// connect.
func (p *proxy) seeTaking(connected bool) {
	if p.envoy() == nil || p.door.failing() {
		return
	}
	key := xds.Inbound()
	has, known := p.server.Has(key)
	acked, now := p.server.AckedVersion(key), p.agent.opts.Clock.Now()
	p.mu.Lock()
	t, want := &p.taking, p.set[key]
	t.connected, t.silent, t.met = connected, connected && !known, t.met || connected && known
	news := false
	if now := p.shut(); !maps.Equal(now, t.shut) {
		t.shut, news = now, true
	}
	switch {
	case t.silent:
	case connected && (has || want == nil && p.set != nil):
		news = !t.since.IsZero()
		t.since, t.took = time.Time{}, true
		if want != nil && acked == want.Version && acked != t.version {
			t.version, t.services, news = acked, offered(want), true
		}
	case t.since.IsZero():
		t.since, t.version, news = now, "", true
	}
	p.mu.Unlock()
	if news {
		p.agent.poke()
		p.grace.Reset(awayTime)
	}
}

// offered are the services that a listener takes calls for.
func offered(listener *xds.Resource) map[string]bool {
	services := map[string]bool{}
	for _, need := range listener.Needs {
		if name, ok := xds.Identified(need); ok {
			services[name] = true
		}
	}
	return services
}

// shut are the services of which something could not be built, and nothing is in the
// listener: the facts of this host and the configuration are too far apart. Of several
// listens one may be missing: then the others are worth more than the truth about it.
func (p *proxy) shut() map[string]shut {
	taken := map[string]bool{}
	if want := p.set[xds.Inbound()]; want != nil {
		taken = offered(want)
	}
	services := map[string]shut{}
	for _, problem := range p.found {
		if problem.Level == agentapi.ProxyMissing && !taken[problem.About] {
			services[problem.About] = shut{line(problem.Text, catalog.MaxReason), problem.Since}
		}
	}
	return services
}

// takes is how callers elsewhere should take a service that is well, as far as this
// host's Envoy goes, and why they should not call it.
func (p *proxy) takes(service string) (health catalog.Health, why string, since time.Time) {
	if p.door == nil {
		return catalog.Healthy, "", time.Time{}
	}
	draining, now := p.agent.Drain().Draining, p.agent.opts.Clock.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &p.taking
	if t.drained && !draining && !t.since.IsZero() {
		t.since = now
	}
	if t.drained = draining; draining {
		return catalog.Healthy, "", time.Time{}
	}
	if s, is := p.shut()[service]; is {
		return catalog.Unhealthy, s.why, s.since
	}
	why, most := "its Envoy has not taken the listener of this host yet", awayTime
	switch {
	case t.since.IsZero():
		want := p.set[xds.Inbound()]
		if want != nil && slices.Contains(want.Needs, xds.Identity(service)) && !t.services[service] && (t.services != nil || !p.outlived) {
			return catalog.Starting, why, time.Time{}
		}
		return catalog.Healthy, "", time.Time{}
	case !t.connected:
		why = "its Envoy does not run"
	}
	if !t.took && !p.outlived {
		return catalog.Starting, why, t.since
	}
	if !t.met {
		most = p.agent.opts.bounds.hollow // it comes back to this agent, which is another than it knew
	}
	if t.silent || now.Sub(t.since) < most {
		return catalog.Healthy, "", time.Time{}
	}
	return catalog.Unhealthy, why, t.since
}

// holds says whether Envoy has a certificate of a service or gateway, as it said last.
// Before it said anything, it is taken to have what an agent before this one may have
// given it.
func (p *proxy) holds(name string) bool {
	has, known := p.server.Has(xds.Identity(name))
	p.mu.Lock()
	defer p.mu.Unlock()
	if known {
		p.copies[name] = has
	}
	if has, said := p.copies[name]; said {
		return has
	}
	return p.outlived
}

// seeCopies has everything built anew where Envoy has more or fewer certificates of
// which it has the only copy than the last build took for granted.
func (p *proxy) seeCopies() {
	for name, had := range p.assumed {
		if p.holds(name) != had {
			p.assumed[name] = !had
			p.all()
			p.agent.poke()
		}
	}
}
