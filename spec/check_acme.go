package spec

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// challengePort is where a certificate authority asks whether a name is ours
// (RFC 8555 8.3).
const challengePort = 80

// checkChallenges holds that a certificate authority can ask for the names of the
// gateways that want its certificates (NM0415).
func (d *decoder) checkChallenges(p *pairs) {
	for i, g := range p.f.Gateways {
		b := p.gateways[i]
		rng, wants := wantsACME(b)
		https := slices.ContainsFunc(g.Listens, func(l *GatewayListen) bool { return l.Protocol == "https" })
		if !wants || !https || b.refused["listen"] || p.top.refused["gateway"] || len(g.On) == 0 {
			continue
		}
		for _, host := range g.On {
			port, asked := challengedOn(p.f, host)
			if asked {
				continue
			}
			told := problem{code: "NM0415", rng: rng, block: b.title, hint: `add listen "http" {}`}
			if port == 0 {
				told.detail = fmt.Sprintf("For ACME the authority calls port %d, and no gateway listens for http on %s.", challengePort, host)
				d.add(told)
			} else {
				told.detail = fmt.Sprintf("For ACME the authority calls port %d, and on %s http is taken on port %d: right only if something in front of it passes those calls on.", challengePort, host, port)
				d.warn(told)
			}
			break
		}
	}
}

// challengedOn says whether gateways on a host answer at the port of challenges:
// themselves, or behind something that puts the PROXY header in front of what it
// passes on. Else the port is the first where they take http, 0 for none.
func challengedOn(f *Fleet, host string) (port int, asked bool) {
	for _, g := range f.Gateways {
		if !slices.Contains(g.On, host) {
			continue
		}
		for _, l := range g.Listens {
			if l.Protocol == "http" {
				port, asked = cmp.Or(port, l.Port), asked || l.Port == challengePort || l.ProxyProtocol
			}
		}
	}
	return port, asked
}

// wantsACME finds the first thing of a gateway that comes by ACME.
func wantsACME(b *block) (hcl.Range, bool) {
	for _, of := range append([]*block{b}, b.all("tls")...) {
		if of.has("acme") && !of.has("cert") { // both are NM0415
			return of.attrs["acme"].key, true
		}
	}
	return hcl.Range{}, false
}
