package spec

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// sharing finds what two gateways on one host both take. They may have a port in
// common, for other names of hosts.
type sharing struct {
	*decoder
	*pairs
	ports map[portOfHost]gatewayPart   // who takes a port first
	names map[nameOnPort][]gatewayPart // the routes that take a name on a port
	told  map[[2]int]bool              // pairs of gateways
}

type portOfHost struct {
	host string
	port int
}

type nameOnPort struct {
	name string
	port int
}

// gatewayPart is a listen or a route of a gateway, by their places in the fleet.
type gatewayPart struct{ gateway, part int }

// checkSharedGateways finds gateways that take the same calls on one host
// (NM0413), or one port for different things (NM0306).
func (d *decoder) checkSharedGateways(p *pairs) {
	s := &sharing{decoder: d, pairs: p, ports: map[portOfHost]gatewayPart{}, names: map[nameOnPort][]gatewayPart{}, told: map[[2]int]bool{}}
	for i, g := range p.f.Gateways {
		d.checkOwnPorts(g, p.gateways[i])
		for n, l := range g.Listens {
			if l.Port != 0 {
				s.port(gatewayPart{i, n})
				s.routes(i, l)
			}
		}
	}
}

// port takes a listen's port on every host of its gateway. Two listens of one port
// do the same with its connections, or clash.
func (s *sharing) port(own gatewayPart) {
	g := s.f.Gateways[own.gateway]
	l := g.Listens[own.part]
	for _, host := range g.On {
		first, taken := s.ports[portOfHost{host, l.Port}]
		if !taken {
			s.ports[portOfHost{host, l.Port}] = own
			continue
		}
		other := s.f.Gateways[first.gateway].Listens[first.part]
		if first.gateway == own.gateway || l.Protocol == other.Protocol && l.Protocol != "tcp" && l.ProxyProtocol == other.ProxyProtocol && sameTexts(l.From, other.From) {
			continue
		}
		how := ""
		switch {
		case l.Protocol != other.Protocol || l.Protocol == "tcp":
		case l.ProxyProtocol != other.ProxyProtocol:
			how = ", with another proxy_protocol"
		default:
			how = ", with another from"
		}
		s.tell(own.gateway, first.gateway, problem{code: "NM0306", rng: listenRange(s.gateways[own.gateway], own.part),
			detail: fmt.Sprintf("Port %d on %s is gateway %q's%s, at %s.", l.Port, host, s.f.Gateways[first.gateway].Name, how, at(listenRange(s.gateways[first.gateway], first.part))),
			hint:   "take another port for one of the two, or other hosts"})
	}
}

// routes takes the names of a gateway's routes on one of its ports.
func (s *sharing) routes(gateway int, l *GatewayListen) {
	g := s.f.Gateways[gateway]
	if l.Protocol == "tcp" {
		return
	}
	for n, r := range g.Routes {
		key := nameOnPort{r.Host, l.Port}
		earlier := s.names[key]
		if len(earlier) > 0 && earlier[len(earlier)-1].gateway == gateway {
			continue
		}
		s.names[key] = append(earlier, gatewayPart{gateway, n})
		for _, first := range earlier {
			o, ob := s.f.Gateways[first.gateway], s.gateways[first.gateway]
			if host := commonHost(g.On, o.On); host != "" && !s.told[[2]int{gateway, first.gateway}] {
				s.tell(gateway, first.gateway, problem{code: "NM0413", rng: s.gateways[gateway].all("route")[n].name,
					detail: fmt.Sprintf("Gateway %q takes %s on port %d of %s already, at %s.", o.Name, r.Host, l.Port, host, at(ob.all("route")[first.part].header)),
					hint:   "keep one, or give one of the gateways another port or other hosts"})
			}
		}
	}
}

// tell reports one thing for each pair of gateways.
func (s *sharing) tell(gateway, other int, p problem) {
	if s.told[[2]int{gateway, other}] {
		return
	}
	s.told[[2]int{gateway, other}] = true
	p.block = s.gateways[gateway].title
	s.add(p)
}

// sameTexts says whether two lists hold the same, in any order.
func sameTexts(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// commonHost is the first host of both lists, which are sorted; "" if there is none.
func commonHost(a, b []string) string {
	for len(a) > 0 && len(b) > 0 {
		switch order := cmp.Compare(a[0], b[0]); {
		case order == 0:
			return a[0]
		case order < 0:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return ""
}

// checkOwnPorts finds two listens of a gateway with one port (NM0306).
func (d *decoder) checkOwnPorts(g *Gateway, b *block) {
	for i, l := range g.Listens {
		n := slices.IndexFunc(g.Listens, func(o *GatewayListen) bool { return o.Port == l.Port })
		if l.Port != 0 && n < i {
			d.add(problem{code: "NM0306", rng: listenRange(b, i), block: b.title, detail: fmt.Sprintf("Port %d is another listen's of this gateway, at %s.", l.Port, at(listenRange(b, n))), hint: "give it another port"})
		}
	}
}

// listenRange is the place of a listen; of the gateway for one by default.
func listenRange(b *block, i int) hcl.Range {
	if listens := b.all("listen"); i < len(listens) {
		return listens[i].header
	}
	return b.header
}
