package spec

import (
	"fmt"
	"net/url"
	"slices"
)

// checkAuths holds the services and externals that decide who may call (NM0417).
func (d *decoder) checkAuths(p *pairs, g *Gateway, b *block) {
	blocks := b.all("auth")
	for i, a := range g.Auths {
		if a.Service != "" {
			told := problem{code: "NM0417", rng: blocks[i].attrs["service"].expr.Range(), block: b.title}
			if s, _ := p.callable(d, told, a.Service); s != nil && s.listenFor(false) == nil {
				told.code, told.detail, told.hint = "NM0416", fmt.Sprintf("Service %q speaks %s, and an auth asks by HTTP or gRPC.", a.Service, s.Listens[0].Protocol), `add listen "http" to it`
				d.add(told)
			}
		}
		if u, err := url.Parse(a.JWKS); err == nil && u.Host != "" && p.f.KeysFrom(a) == nil && !p.top.refused["external"] {
			d.add(problem{code: "NM0417", rng: blocks[i].attrs["jwks"].expr.Range(), block: b.title, detail: fmt.Sprintf("No external has the host %s of this URL.", u.Host),
				hint: fmt.Sprintf("add external \"login\" { hosts = [%q] }", u.Hostname()+":"+portOf(u))})
		}
	}
}

// checkAuthNames holds the auths that a route asks for.
func (d *decoder) checkAuthNames(g *Gateway, b, rb *block) {
	for _, it := range d.entriesOf(rb, "auth") {
		name := it.value.AsString()
		if b.refused["auth"] || slices.ContainsFunc(g.Auths, func(a *Auth) bool { return a.Name == name }) {
			continue
		}
		hint := didYouMean(name, labels(b.all("auth")), "there are")
		if hint == "" {
			hint = fmt.Sprintf("add auth %q { service = \"login\" }", name)
		}
		d.add(problem{code: "NM0417", rng: it.rng, block: b.title, detail: fmt.Sprintf("The gateway has no auth %q.", name), hint: hint})
	}
}
