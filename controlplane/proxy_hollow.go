package controlplane

import (
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// hollowTime bounds how long Envoy keeps what it has while the catalog is being
// filled again, and how long it may take to come back to another agent than it knew:
// who is there answers within a second or two.
const hollowTime = 5 * time.Second

// hollow says whether the catalog lost what it knew, on disk or in memory, and
// peers have not yet told it again: what would be built now takes endpoints away
// that are well.
func (p *proxy) hollow(config *mesh.Config, facts *hostfacts.Facts) bool {
	lacks := false
	p.agent.live.look(func(c *catalog.Catalog, _ *mesh.Config, _ time.Time) {
		l := p.agent.live
		if !p.given && !p.outlived {
			l.hollow = time.Time{} // Envoy has nothing that could be taken away
		}
		if l.hollow.IsZero() {
			return
		}
		lacks = time.Since(l.hollow) < p.agent.opts.bounds.hollow && !heardAll(c, p.agent.host, config, facts)
		if !lacks {
			l.hollow = time.Time{}
		}
	})
	if lacks {
		p.mu.Lock()
		p.whole = true // of all that was held back
		p.mu.Unlock()
	}
	return lacks
}

// heardAll says whether every host was heard of where a service is placed that
// callers of this host call.
func heardAll(c *catalog.Catalog, self string, config *mesh.Config, facts *hostfacts.Facts) bool {
	for service := range called(self, config, facts) {
		for _, version := range config.Services[service].Versions {
			for _, host := range version.Hosts {
				if c.Host(host) == nil {
					return false
				}
			}
		}
	}
	return true
}

func (p *proxy) has(service string) bool {
	_, ok := p.agent.certificates.keeper.Leaf(service)
	return ok
}

// behindTime bounds how long the first set waits for what changed since this host's
// catalog was kept, which is at most half a minute ago where the agent before this
// one was killed: Envoy knows better until then.
const behindTime = 2 * time.Second

// behind says whether a host that callers here call has not been asked yet since
// this agent's start, or whether this agent cannot know yet who is away.
func (p *proxy) behind(config *mesh.Config, facts *hostfacts.Facts) bool {
	if p.given || !p.outlived || p.agent.opts.Clock.Now().Sub(p.began) >= behindTime {
		return false
	}
	peers := p.agent.peers()
	for service := range called(p.agent.host, config, facts) {
		for _, version := range config.Services[service].Versions {
			for _, host := range version.Hosts {
				if host != p.agent.host && peers[host].Exchanged.IsZero() {
					return true
				}
			}
		}
	}
	frozen := false
	p.agent.live.look(func(c *catalog.Catalog, _ *mesh.Config, now time.Time) { frozen = c.Guard().Frozen(now) })
	return frozen
}
