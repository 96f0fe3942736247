package spec

import (
	"fmt"
	"slices"
	"strings"
)

// checkAllows holds who is narrowed against who calls.
func (d *decoder) checkAllows(p *pairs) {
	into := callersOf(p.f)
	for i, s := range p.f.Services {
		blocks := p.services[i].all("allow")
		for n, a := range s.Allows {
			if len(into[s.Name].edges[a.Caller]) > 0 || d.checkCaller(p, s, a, blocks[n]) {
				d.checkAllowListen(s, a, blocks[n], into[s.Name].edges[a.Caller])
			}
		}
		if p.f.Authorization == "explicit" && !p.services[i].refused["allow"] {
			d.checkExplicit(p, s, into[s.Name])
		}
	}
}

// callers are who calls one service.
type callers struct {
	names []string          // as allow and from name them, each once
	edges map[string][]Edge // by these names
}

// callersOf are the callers of each service.
func callersOf(f *Fleet) map[string]callers {
	into := map[string]callers{}
	for _, e := range f.Edges() {
		if e.UpstreamKind != "service" {
			continue
		}
		c := into[e.Upstream]
		if c.edges == nil {
			c.edges = map[string][]Edge{}
		}
		if name := e.name(); c.edges[name] == nil {
			c.names = append(c.names, name)
		}
		c.edges[e.name()] = append(c.edges[e.name()], e)
		into[e.Upstream] = c
	}
	return into
}

// name is how allow and from name a caller.
func (e Edge) name() string {
	if e.CallerKind == "operator" {
		return "operator/" + e.Caller
	}
	return e.Caller
}

// checkCaller holds that the caller of an allow declares the edge (NM0402).
func (d *decoder) checkCaller(p *pairs, s *Service, a *Allow, b *block) bool {
	add := func(detail, hint string) bool {
		d.add(problem{code: "NM0402", rng: b.name, block: b.title, detail: detail, hint: hint})
		return false
	}
	caller, cb := p.service(a.Caller)
	gateway, gb := p.gateway(a.Caller)
	operator, isOperator := strings.CutPrefix(a.Caller, "operator/")
	switch {
	case a.Caller == s.Name:
		return add("A service does not call itself over the mesh.", "delete it")
	case caller != nil:
		if cb.refused["upstream"] || p.meant(caller.upstreamNames(), s.Name) {
			return true
		}
		return add(fmt.Sprintf("Service %q does not name %q as an upstream, so it may not call it at all.", a.Caller, s.Name),
			fmt.Sprintf("add to service %q, at %s: upstream %q {}", a.Caller, at(cb.header), s.Name))
	case gateway != nil:
		if gb.refused["route"] || gb.refused["listen"] || gb.refused["auth"] || p.meant(gateway.called(), s.Name) {
			return true
		}
		return add(fmt.Sprintf("Gateway %q has no route to %q.", a.Caller, s.Name),
			fmt.Sprintf("add to gateway %q, at %s: route \"HOST\" { to = %q }", a.Caller, at(gb.header), s.Name))
	case isOperator:
		i := slices.IndexFunc(p.f.Operators, func(o *Operator) bool { return o.Name == operator })
		if i >= 0 && (slices.Contains(p.f.Operators[i].Access, s.Name) || p.operators[i].refused["access"]) || p.top.refused["operator"] {
			return true
		}
		if near := nearest(operator, labels(p.operators)); i < 0 && near != "" {
			return add(fmt.Sprintf("There is no operator %q.", operator), fmt.Sprintf("did you mean \"operator/%s\"?", near))
		}
		return add(fmt.Sprintf("There is no operator %q with access to %q.", operator, s.Name), fmt.Sprintf("add to operator %q: access = [%q]", operator, s.Name))
	case p.top.refused["service"] || p.top.refused["gateway"]:
		return false
	case a.Caller == "*":
		return add("An allow narrows one caller.", "delete it: callers without an allow may do everything; to ask for an allow from each, authorization = \"explicit\"")
	}
	if external, _ := p.external(a.Caller); external != nil {
		return add(fmt.Sprintf("%q is an external: it is called, and does not call.", a.Caller), "calls from outside come through a gateway")
	}
	return add(fmt.Sprintf("There is no service or gateway %q.", a.Caller), didYouMean(a.Caller, slices.Concat(labels(p.services), labels(p.gateways)), "there are"))
}

// checkAllowListen holds the listen that an allow is for, and what is spoken
// there (NM0209, NM0402, NM0407).
func (d *decoder) checkAllowListen(s *Service, a *Allow, b *block, calls []Edge) {
	if a.Listen != "" && s.Listen(a.Listen) == nil {
		if len(s.Listens) > 0 {
			d.unknownListen(s, problem{rng: b.attrs["listen"].expr.Range(), block: b.title}, a.Listen)
		}
		return
	}
	var called []*Listen
	for _, e := range calls {
		called = append(called, e.Listen)
	}
	if len(called) == 0 {
		return // its upstream is wrong in another way
	}
	if a.Listen != "" && !slices.ContainsFunc(called, func(l *Listen) bool { return l.Name == a.Listen }) {
		d.add(problem{code: "NM0402", rng: b.attrs["listen"].expr.Range(), block: b.title,
			detail: fmt.Sprintf("%q calls the listen %q of this service, not %q.", a.Caller, called[0].Name, a.Listen), hint: fmt.Sprintf("listen = %q, here or in its upstream", called[0].Name)})
		return
	}
	if slices.ContainsFunc(called, func(l *Listen) bool { return mayBeHTTP(l.Protocol) }) {
		return
	}
	hint := "on tcp and redis a caller may connect, or not"
	d.onTCP(b, called[0].Protocol, map[string]string{"methods": hint, "paths": hint, "headers": hint})
	if limits := b.all("limit"); len(limits) > 0 {
		d.add(problem{code: "NM0407", rng: limits[0].header, block: b.title, detail: fmt.Sprintf("Over %s the mesh sees no requests that limit could count.", called[0].Protocol),
			hint: "limits { connections = 1000 } bounds connections into the service"})
	}
}

// checkExplicit asks for an allow for every edge into a service (NM0403).
func (d *decoder) checkExplicit(p *pairs, s *Service, into callers) {
	_, sb := p.service(s.Name)
	allowed := map[string]bool{}
	for _, a := range s.Allows {
		allowed[a.Caller] = true
	}
	for _, name := range into.names {
		e := into.edges[name][0]
		if e.CallerKind == "operator" || allowed[name] || d.full() {
			continue
		}
		rng, title := p.edgeBlock(e)
		d.add(problem{code: "NM0403", rng: rng, block: title, detail: fmt.Sprintf("With authorization = \"explicit\", service %q has to allow %q, too.", s.Name, e.Caller),
			hint: fmt.Sprintf("add to service %q, at %s: allow %q {}", s.Name, at(sb.header), e.Caller)})
	}
}
