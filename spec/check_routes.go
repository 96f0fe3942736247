package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// checkRoutes holds the routes of services against their versions, callers and
// listens, and against each other.
func (d *decoder) checkRoutes(p *pairs) {
	into := callersOf(p.f)
	for i, s := range p.f.Services {
		b := p.services[i]
		blocks := b.all("route")
		if len(blocks) == 0 || !d.checkRouted(s, b, blocks[0]) {
			continue
		}
		for n, r := range s.Routes {
			d.checkVersionsOf(s, b, r, blocks[n])
			d.checkFrom(p, s, blocks[n], into[s.Name])
			d.checkRetry(r.Retry, blocks[n].one("retry"), protocols(s), d.patience(blocks[n], r.Timeout, "")) // else the caller's, not known here
		}
		d.checkReach(s.Routes, blocks)
	}
}

func protocols(s *Service) []string {
	var all []string
	for _, l := range s.Listens {
		all = append(all, l.Protocol)
	}
	return all
}

// checkRouted holds that requests come to a service that has routes (NM0404,
// NM0407).
func (d *decoder) checkRouted(s *Service, b, route *block) bool {
	switch {
	case b.refused["listen"]:
		return false
	case len(s.Listens) == 0:
		d.add(problem{code: "NM0404", rng: route.header, block: b.title, detail: "The service has no listen, so no request comes.", hint: `add listen "http" {}`})
		return false
	case !slices.ContainsFunc(protocols(s), mayBeHTTP):
		d.add(problem{code: "NM0407", rng: route.header, block: b.title, detail: fmt.Sprintf("A route looks at requests, and %s is spoken here.", s.Listens[0].Protocol),
			hint: "delete it; on tcp and redis the service's split works"})
		return false
	}
	return true
}

// checkVersionsOf holds the versions that a route names (NM0308, NM0309, NM0405).
func (d *decoder) checkVersionsOf(s *Service, b *block, r *Route, rb *block) {
	if b.refused["version"] {
		return
	}
	if r.To != "" {
		d.checkVersion(s, b, problem{code: "NM0405", rng: rb.attrs["to"].expr.Range(), block: b.title}, r.To)
	}
	if r.Mirror != nil && r.Mirror.To != "" {
		d.checkVersion(s, b, problem{code: "NM0405", rng: rb.one("mirror").attrs["to"].expr.Range(), block: b.title}, r.Mirror.To)
	}
	if len(s.Versions) == 0 {
		d.checkNoVersions(rb)
		return
	}
	if r.Split == nil {
		return
	}
	var shares []share
	ranges, whole := d.ownNames(rb, "split"), true
	for _, name := range slices.Sorted(maps.Keys(ranges)) {
		told := problem{code: "NM0308", rng: ranges[name], block: b.title, hint: nearestLeft(name, labels(b.all("version")), ranges)}
		known := d.checkVersion(s, b, told, name, r.Split[name])
		whole = whole && known
		shares = append(shares, share{name, r.Split[name]})
	}
	if !whole {
		return
	}
	d.checkShareSum(shares, rb)
}

// checkVersion holds that a service has a version, and that it runs somewhere
// unless its weight is 0.
func (d *decoder) checkVersion(s *Service, b *block, told problem, name string, weight ...float64) bool {
	vb := b.named("version", name)
	if vb == nil {
		told.detail = fmt.Sprintf("Service %q has no version %q.", s.Name, name)
		told.hint = cmp.Or(told.hint, didYouMean(name, labels(b.all("version")), "the versions are"))
		if len(s.Versions) == 0 {
			told.hint = fmt.Sprintf("it has no versions at all: add version %q { … } to it", name)
		}
		if !b.refused["version"] {
			d.add(told)
		}
		return false
	}
	if (len(weight) == 0 || weight[0] > 0) && vb.has("on") && parked(d, vb) {
		told.code, told.detail = "NM0309", fmt.Sprintf("Version %q of %q runs on no host: on = [], at %s.", name, s.Name, at(vb.attrs["on"].key))
		told.hint = "name hosts in its on, or give its share to another version"
		d.add(told)
		return false
	}
	return true
}

// checkFrom holds the callers that a route is for (NM0404).
func (d *decoder) checkFrom(p *pairs, s *Service, b *block, into callers) {
	for _, it := range d.entriesOf(b, "from") {
		name := it.value.AsString()
		if len(into.edges[name]) > 0 || p.top.refused["service"] || p.top.refused["gateway"] {
			continue
		}
		told := problem{code: "NM0404", rng: it.rng, block: b.title, detail: fmt.Sprintf("There is no service or gateway %q.", name), hint: didYouMean(name, into.names, "the callers are")}
		caller, cb := p.service(name)
		if caller != nil && (cb.refused["upstream"] || name != s.Name && p.meant(caller.upstreamNames(), s.Name)) {
			continue // its edge is wrong in another way
		}
		if name == s.Name {
			told.detail, told.hint = "A service does not call itself through the mesh.", "delete it from the list"
		} else if caller != nil {
			told.detail = fmt.Sprintf("%q does not call this service.", name)
			told.hint = fmt.Sprintf("add to service %q, at %s: upstream %q {}", name, at(cb.header), s.Name)
		} else if gateway, gb := p.gateway(name); gateway != nil {
			told.detail = fmt.Sprintf("Gateway %q has no route to this service.", name)
			told.hint = fmt.Sprintf("add to gateway %q, at %s: route \"HOST\" { to = %q }", name, at(gb.header), s.Name)
		} else if told.hint == "" {
			told.hint = "nothing calls this service: callers name it as an upstream"
		}
		d.add(told)
	}
}
