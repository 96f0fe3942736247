package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// checkUpstreams holds what services call against what there is.
func (d *decoder) checkUpstreams(p *pairs) {
	for i, s := range p.f.Services {
		if d.full() {
			return
		}
		blocks := p.services[i].all("upstream")
		for n, u := range s.Upstreams {
			if isName(u.Name) && d.checkUpstream(p, s, u, blocks[n]) {
				d.checkPatience(u, blocks[n], p.protocol(u))
			}
		}
		d.checkFailovers(p, s, p.services[i])
	}
}

// checkUpstream holds that an upstream can be called (NM0204, NM0209, NM0401).
func (d *decoder) checkUpstream(p *pairs, s *Service, u *Upstream, b *block) bool {
	add := func(code, detail, hint string) bool {
		d.add(problem{code: code, rng: b.name, block: b.title, detail: detail, hint: hint})
		return false
	}
	target, tb := p.service(u.Name)
	external, _ := p.external(u.Name)
	switch {
	case u.Name == s.Name:
		return add("NM0401", "A service is no upstream of its own.", "delete it; inside the service call the program itself")
	case external != nil && b.has("listen"):
		d.add(problem{code: "NM0209", rng: b.attrs["listen"].key, block: b.title, detail: fmt.Sprintf("%q is an external and has no listens.", u.Name), hint: "delete listen"})
		return false
	case external != nil:
		return true
	case target == nil:
		return d.unknownUpstream(p, problem{rng: b.name, block: b.title}, s.Name, u.Name)
	case tb.has("schedule") && len(target.Listens) > 0: // NM0314
		return false
	case tb.has("schedule"):
		return add("NM0401", fmt.Sprintf("%q is a job, at %s: nothing of it listens.", u.Name, at(tb.header)), "delete the upstream")
	case tb.refused["listen"]:
		return false
	case len(target.Listens) == 0:
		return add("NM0401", fmt.Sprintf("%q has no listen, at %s.", u.Name, at(tb.header)), `add a listen to it: listen "http" {}`)
	case u.Listen != "" && target.Listen(u.Listen) == nil:
		d.unknownListen(target, problem{rng: b.attrs["listen"].expr.Range(), block: b.title}, u.Listen)
		return false
	}
	return true
}

// unknownUpstream reports a name that is neither a service nor an external
// (NM0204). It says so if it is something else, or something like it, and does
// not suggest the caller or those that are no choice here.
func (d *decoder) unknownUpstream(p *pairs, told problem, caller, name string, but ...string) bool {
	if p.top.refused["service"] || p.top.refused["external"] {
		return false
	}
	told.code, told.detail = "NM0204", fmt.Sprintf("No service or external is named %q.", name)
	names := slices.Concat(labels(p.services), labels(p.externals))
	names = slices.DeleteFunc(names, func(n string) bool { return n == caller || slices.Contains(but, n) })
	told.hint = cmp.Or(didYouMean(name, names, "there are"), fmt.Sprintf("define it: service %q { … }", name))
	if near := nearest(name, names); near != "" {
		told.hint = fmt.Sprintf("did you mean %q? (%s)", near, p.defined(near))
	}
	if gateway, gb := p.gateway(name); gateway != nil {
		told.detail = fmt.Sprintf("%q is a gateway, at %s: it calls services, and is not called by them.", name, at(gb.header))
	}
	for _, h := range p.f.Hosts {
		if h.Name != name {
			continue
		}
		told.detail = fmt.Sprintf("%q is a host, at %s:%d: what is called is a service.", name, h.Place.File, h.Place.Line)
		var there []string
		for _, s := range p.f.Services {
			if slices.Contains(s.On, name) && len(s.Listens) > 0 && s.Name != caller {
				there = append(there, s.Name)
			}
		}
		if there != nil {
			told.hint = "services that run there: " + strings.Join(there, ", ")
		}
	}
	d.add(told)
	return false
}

// meant says whether one of the names that a block calls is a service, also if it
// is mistyped.
func (p *pairs) meant(called []string, service string) bool {
	return slices.ContainsFunc(called, func(name string) bool {
		if name == service {
			return true
		}
		s, _ := p.service(name)
		e, _ := p.external(name)
		return s == nil && e == nil && nearest(name, slices.Concat(labels(p.services), labels(p.externals))) == service
	})
}

// unknownListen reports a listen that a service does not have (NM0209).
func (d *decoder) unknownListen(s *Service, told problem, name string) {
	var names []string
	for _, l := range s.Listens {
		if l.Name != "" {
			names = append(names, l.Name)
		}
	}
	told.code, told.detail = "NM0209", fmt.Sprintf("Service %q has no listen named %q.", s.Name, name)
	if told.hint = didYouMean(name, names, "the listens are"); told.hint == "" {
		told.hint = "no listen of that service has a name; leave listen out for the first"
	}
	d.add(told)
}

// protocol is what an upstream speaks; "" when that is not known.
func (p *pairs) protocol(u *Upstream) string {
	if s, _ := p.service(u.Name); s != nil {
		if l := s.Listen(u.Listen); l != nil {
			return l.Protocol
		}
		return ""
	}
	if e, _ := p.external(u.Name); e != nil {
		return e.Protocol
	}
	return ""
}

// defined is what a name is of, and where: "service, nixmesh.hcl:128".
func (p *pairs) defined(name string) string {
	if _, b := p.service(name); b != nil {
		return "service, " + at(b.header)
	}
	_, b := p.external(name)
	return "external, " + at(b.header)
}
