package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// checkGateways holds what gateways call against what there is, their routes
// against each other, and gateways against gateways.
func (d *decoder) checkGateways(p *pairs) {
	for i, g := range p.f.Gateways {
		b := p.gateways[i]
		d.checkAuths(p, g, b)
		d.checkTCPListens(p, g, b)
		blocks := b.all("route")
		for n, r := range g.Routes {
			d.checkGatewayRoute(p, b, r, blocks[n])
			d.checkAuthNames(g, b, blocks[n])
		}
		d.checkGatewayReach(g, blocks)
		if len(blocks) == 0 && !b.refused["route"] && !b.refused["listen"] && !slices.ContainsFunc(g.Listens, func(l *GatewayListen) bool { return l.Protocol == "tcp" }) {
			d.add(problem{code: "NM0104", rng: b.header, block: b.title, detail: "The gateway leads nowhere.", hint: `add route "shop.example" { to = "web" }, or listen "tcp"`})
		}
	}
	d.checkSharedGateways(p)
	d.checkChallenges(p)
}

// checkGatewayRoute holds where a route leads.
func (d *decoder) checkGatewayRoute(p *pairs, b *block, r *GatewayRoute, rb *block) {
	var called []string
	if r.Service != "" {
		told := problem{code: "NM0405", rng: rb.attrs["to"].expr.Range(), block: b.title}
		called = append(called, d.checkTarget(p, told, r.Service, r.To)...)
	}
	if r.Mirror != nil && r.Mirror.Service != "" {
		d.checkTarget(p, problem{code: "NM0405", rng: rb.one("mirror").attrs["to"].expr.Range(), block: b.title}, r.Mirror.Service, r.Mirror.To)
	}
	if len(r.Targets) > 0 {
		var shares []share
		ranges, whole := d.ownNames(rb, "split"), true
		for _, t := range r.Targets {
			name := strings.TrimSuffix(t.Service+"@"+t.Version, "@")
			told := problem{code: "NM0308", rng: ranges[name], block: b.title}
			if s, sb := p.service(t.Service); s != nil {
				taken := map[string]hcl.Range{}
				for target, at := range ranges {
					taken[strings.TrimPrefix(target, t.Service+"@")] = at
				}
				told.hint = nearestLeft(t.Version, labels(sb.all("version")), taken)
			}
			known := d.checkTarget(p, told, t.Service, t.Version, t.Percent)
			called, whole = append(called, known...), whole && known != nil
			shares = append(shares, share{name, t.Percent})
		}
		if whole {
			d.checkShareSum(shares, rb)
		}
	}
	if len(called) == 0 {
		return
	}
	patient := called[0] // with the most patience, of all that it may lead to
	if slices.Contains(called, "grpc") {
		patient = "grpc"
	}
	d.checkRetry(r.Retry, rb.one("retry"), called, d.patience(rb, r.Timeout, patient))
	if r.Sticky != "" && r.To == "" && len(r.Targets) == 0 {
		if s, sb := p.service(r.Service); s != nil && len(s.Versions) == 0 && !sb.refused["version"] {
			d.add(problem{code: "NM0308", rng: rb.attrs["sticky"].key, block: b.title, detail: fmt.Sprintf("sticky is between versions, and service %q has none.", r.Service), hint: "delete it"})
		}
	}
}

// checkTarget holds that a gateway can send requests to a service, and gives the
// protocol; nil when it cannot.
func (d *decoder) checkTarget(p *pairs, told problem, service, version string, weight ...float64) []string {
	s, sb := p.callable(d, told, service)
	if s == nil {
		return nil
	}
	l := s.listenFor(false)
	if l == nil {
		told.code, told.detail = "NM0416", fmt.Sprintf("Service %q speaks %s, at %s: a route looks at requests.", service, s.Listens[0].Protocol, at(sb.all("listen")[0].header))
		told.hint = fmt.Sprintf("in place of the route: listen \"tcp\" with port = %d, to = %q and from = [\"192.0.2.0/24\"]", s.Listens[0].Port, service)
		d.add(told)
		return nil
	}
	if version != "" && !d.checkVersion(s, sb, told, version, weight...) {
		return nil
	}
	return []string{l.Protocol}
}

// callable finds a service that a gateway names and that listens.
func (p *pairs) callable(d *decoder, told problem, name string) (*Service, *block) {
	s, sb := p.service(name)
	if s == nil && p.top.refused["service"] {
		return nil, nil
	}
	switch {
	case s == nil:
		told.detail, told.hint = fmt.Sprintf("There is no service %q.", name), didYouMean(name, labels(p.services), "there are")
		if e, eb := p.external(name); e != nil {
			told.detail = fmt.Sprintf("%q is an external, at %s: a gateway leads to services.", name, at(eb.header))
		} else if near := nearest(name, labels(p.services)); near != "" {
			told.hint = fmt.Sprintf("did you mean %q? (%s)", near, p.defined(near))
		}
	case sb.has("schedule") && len(s.Listens) > 0: // NM0314
		return nil, nil
	case sb.has("schedule"):
		told.code, told.detail, told.hint = "NM0401", fmt.Sprintf("%q is a job, at %s: nothing of it listens.", name, at(sb.header)), "name a service that listens"
	case sb.refused["listen"]:
		return nil, nil
	case len(s.Listens) == 0:
		told.code, told.detail, told.hint = "NM0401", fmt.Sprintf("%q has no listen, at %s.", name, at(sb.header)), `add a listen to it: listen "http" {}`
	default:
		return s, sb
	}
	d.add(told)
	return nil, nil
}

// checkTCPListens holds where ports for TCP lead (NM0405, NM0416).
func (d *decoder) checkTCPListens(p *pairs, g *Gateway, b *block) {
	for i, lb := range b.all("listen") {
		l := g.Listens[i]
		if l.Protocol != "tcp" || l.To == "" {
			continue
		}
		told := problem{code: "NM0405", rng: lb.attrs["to"].expr.Range(), block: b.title}
		s, _ := p.callable(d, told, l.To)
		if s != nil && s.listenFor(true) == nil {
			told.code, told.detail = "NM0416", fmt.Sprintf("Service %q speaks %s: it is called request by request.", l.To, s.Listens[0].Protocol)
			told.hint = fmt.Sprintf("in place of the listen: route \"shop.example\" { to = %q }", l.To)
			d.add(told)
		}
	}
}
