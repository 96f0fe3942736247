package compile

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/nixmesh/nixmesh/spec"
)

// gateways opens the ports of the gateways on this host. The mesh's own are
// opened by the modules, to the addresses that hostOptions names.
func (c *hostCompiler) gateways() {
	for _, g := range c.index.gateways[c.host.Name] {
		for _, o := range gatewayOpenings(g) {
			a := attrs{bind("protocol", str(o.protocol)), bind("port", number(o.port))}
			if o.from != nil {
				a = append(a, bind("from", strs(o.from)))
			}
			c.define(&module{place: o.place, config: attrs{bind(nixPath("services", "nixmesh", "openings", o.name), a)}}, g.Place)
		}
	}
}

// opening lets packets in. A nil from means from everywhere.
type opening struct {
	name     string
	place    spec.Place
	protocol string // tcp, udp
	port     int
	from     []string // addresses and ranges
}

// gatewayOpenings are the ports of a gateway, with HTTP/3 also as udp: for the
// ranges of the listen, and without any for everybody.
func gatewayOpenings(g *spec.Gateway) []opening {
	var open []opening
	for _, l := range g.Listens {
		o := opening{name: fmt.Sprintf("%s-tcp-%d", g.Name, l.Port), place: l.Place, protocol: "tcp", port: l.Port}
		if l.Protocol == "tcp" || len(l.From) > 0 {
			o.from = append([]string{}, l.From...)
		}
		open = append(open, o)
		if g.HTTP3 && l.Protocol == "https" {
			o.name, o.protocol = fmt.Sprintf("%s-udp-%d", g.Name, l.Port), "udp"
			open = append(open, o)
		}
	}
	return open
}

// names are the mesh names that this host knows: those of the services that
// run here and of what these may call. A service elsewhere is none of them, so
// that a new one changes no host but its own and its callers'.
func (c *hostCompiler) names() {
	known := map[string]bool{}
	for _, p := range c.placements {
		if len(p.versions) == 0 {
			continue
		}
		known[p.service.Name] = true
		for _, u := range p.service.Upstreams {
			known[u.Name] = true
		}
	}
	hosts := attrs{}
	byAddress := map[string]string{}
	for name := range known {
		if address := c.lock.Addr(name); address != "" {
			byAddress[address] = name + "." + c.fleet.Domain
		}
	}
	for _, address := range slices.SortedFunc(maps.Keys(byAddress), compareAddresses) {
		hosts = append(hosts, bind(nixName(address), list{str(byAddress[address])}))
	}
	if len(hosts) > 0 {
		c.define(&module{place: c.host.Place, config: attrs{bind("networking.hosts", hosts)}}, c.fleet.Place)
	}
}

func compareAddresses(a, b string) int {
	left, errLeft := netip.ParseAddr(a)
	right, errRight := netip.ParseAddr(b)
	if errLeft != nil || errRight != nil {
		return cmp.Compare(a, b)
	}
	return left.Compare(right)
}

// edges are the calls that a service of this host may make, one definition
// each. Its users are read from the evaluated configuration.
func (c *hostCompiler) edges(s *spec.Service) error {
	for _, e := range c.index.edges[s.Name] {
		place := orPlace(e.Place, s.Place)
		listen, protocol := "", ""
		if e.Listen != nil {
			listen, protocol = e.Listen.Name, e.Listen.Protocol
		} else {
			protocol = c.index.externals[e.Upstream].Protocol
		}
		address, port := c.lock.Addr(e.Upstream), c.lock.Edge(s.Name, e.Upstream, listen)
		if address == "" || port == 0 {
			return fmt.Errorf("%s: the lock has no address or no edge port for %s to %s", place, s.Name, e.Upstream)
		}
		name := s.Name + " " + e.Upstream
		a := attrs{
			bind("caller", str(s.Name)),
			bind("place", placeText(place)),
			bind("upstream", str(e.Upstream)),
		}
		if listen != "" {
			a = append(a, bind("listen", str(listen)))
			name += ":" + listen
		}
		ports := list{}
		for _, p := range slices.Sorted(slices.Values(e.Ports)) {
			ports = append(ports, number(p))
		}
		a = append(a,
			bind("protocol", str(protocol)),
			bind("address", str(address)),
			bind("ports", ports),
			bind("edgePort", number(port)),
		)
		c.define(&module{place: place, config: attrs{bind(nixPath("services", "nixmesh", "edges", name), a)}}, s.Place)
	}
	return nil
}
