package controlplane

import (
	"maps"
	"os"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/controlplane/health"
	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// scope is what this host's Envoy depends on: a configuration and facts, and of
// the fleet the services that callers of this host may call.
type scope struct {
	proxy  *proxy
	config *mesh.Config
	input  *xds.Input
	called map[string]bool     // services
	on     map[string][]string // host -> those of called that are placed there
}

func (p *proxy) scope(config *mesh.Config, facts *hostfacts.Facts) *scope {
	s := &scope{proxy: p, config: config, called: called(p.agent.host, config, facts), on: map[string][]string{}}
	for _, service := range slices.Sorted(maps.Keys(s.called)) {
		for _, version := range config.Services[service].Versions {
			for _, host := range version.Hosts {
				if !slices.Contains(s.on[host], service) {
					s.on[host] = append(s.on[host], service)
				}
			}
		}
	}
	s.input = &xds.Input{
		Host: p.agent.host, Config: config, Facts: facts,
		Leaf: p.leaf, Held: p.assume, Endpoints: s.endpoints(), Ill: p.ill, File: p.files.reader(facts), Kept: p.files.kept(),
		Now: p.agent.opts.Clock.Now(), IPv6: hasIPv6(),
	}
	return s
}

// hasIPv6 says whether this host's kernel has IPv6. Without, a listener with an
// address of it would be refused as a whole.
func hasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// called are the services that callers of this host may call.
func called(self string, config *mesh.Config, facts *hostfacts.Facts) map[string]bool {
	callers := map[string]bool{}
	for _, i := range facts.Instances {
		callers[i.Service] = true
	}
	for _, e := range facts.Edges {
		callers[e.Caller] = true
	}
	for name, g := range config.Gateways {
		if slices.Contains(g.Hosts, self) {
			callers[name] = true
		}
	}
	services := map[string]bool{}
	for caller := range callers {
		for edge := range config.Edges[caller] {
			if upstream, _ := mesh.SplitEdgeName(edge); config.Services[upstream] != nil {
				services[upstream] = true
			}
		}
	}
	return services
}

// again is the scope's input with the catalog of now.
func (s *scope) again() *xds.Input {
	input := *s.input
	input.Endpoints = s.endpoints()
	return &input
}

// endpoints reads each service from the catalog once, at the first question.
func (s *scope) endpoints() func(service string) []catalog.Endpoint {
	read := map[string][]catalog.Endpoint{}
	return func(service string) []catalog.Endpoint {
		list, ok := read[service]
		if !ok {
			s.proxy.agent.live.look(func(c *catalog.Catalog, _ *mesh.Config, now time.Time) {
				list = c.Endpoints(now, s.config, service)
			})
			read[service] = list
		}
		return list
	}
}

// ill says whether a copy of a service on this host should get no calls. What else
// keeps callers elsewhere away is true of all copies.
func (p *proxy) ill(service, version string, copy int) bool {
	for _, i := range p.agent.health.Instances() {
		if i.Service == service && i.Version == version && i.Copy == copy {
			return i.State != health.Healthy
		}
	}
	return false
}

// copied says whether several copies of a version of a service run on this host:
// calls are spread over those that are well.
func (p *proxy) copied(service string) bool {
	facts, seen := p.facts.Load(), map[string]bool{}
	if facts == nil {
		return false
	}
	for _, i := range facts.Instances {
		if i.Service == service && seen[i.Version] {
			return true
		}
		seen[i.Version] = seen[i.Version] || i.Service == service
	}
	return false
}

// assume is holds, for a build: where that changes it has to be done again.
func (p *proxy) assume(name string) bool {
	p.assumed[name] = p.holds(name)
	return p.assumed[name]
}

// leaf is the certificate of a service or gateway of this host.
func (p *proxy) leaf(name string) (xds.Leaf, bool) {
	leaf, ok := p.agent.certificates.keeper.Leaf(name)
	if !ok {
		return xds.Leaf{}, false
	}
	key, err := leaf.KeyPEM()
	if err != nil {
		p.logger.Error("key of a certificate not encoded", "service", name) // the error might quote the key
		return xds.Leaf{}, false
	}
	return xds.Leaf{Chain: leaf.Chain.PEM(), Key: key}, true
}
