package xds

import (
	"maps"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
)

// certifiedHosts are the names of hosts with a certificate of their own, sorted.
func certifiedHosts(g *mesh.Gateway) []string { return slices.Sorted(maps.Keys(g.TLS)) }

// routedHosts are the names of hosts that routes have, in their order.
func routedHosts(g *mesh.Gateway) []string {
	var hosts []string
	seen := map[string]bool{}
	for i := range g.Routes {
		if host := g.Routes[i].Host; !seen[host] {
			seen[host] = true
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// certificateFor is the name whose certificate is served for a host: its own, else
// of the nearest wildcard above it, which is how Envoy chooses a chain by the name
// that a client asks for; "" is the gateway's own.
func certificateFor(g *mesh.Gateway, host string) string {
	for name := host; ; {
		if g.TLS[name] != nil {
			return name
		}
		_, parent, below := strings.Cut(strings.TrimPrefix(name, "*."), ".")
		if !below {
			return ""
		}
		name = "*." + parent
	}
}

// serverNames are the names that lead to a certificate's chain, of the i-th gateway
// of a port. Names of routes are not among them where the chain has them without: a
// new one would end all connections of the listener.
func (p *gatewayPort) serverNames(i int, certified string) []string {
	var wildcards []string // of other gateways
	others := false        // one of them has the certificate's name
	for n, other := range p.parts {
		if n == i {
			continue
		}
		routed, certificates := hostsOf(other.gateway, ""), certifiedHosts(other.gateway)
		wildcards = slices.Concat(wildcards, routed, certificates)
		others = others || slices.Contains(routedHosts(other.gateway), certified) || n < i && slices.Contains(certificates, certified)
	}
	own := p.parts[i].gateway
	names := hostsOf(own, certified)
	if certified != "" && !others && !slices.Contains(names, certified) {
		names = slices.Insert(names, 0, certified)
	}
	if certified == "" && i > 0 {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return name != certified && !slices.ContainsFunc(wildcards, func(wildcard string) bool {
			suffix, is := strings.CutPrefix(wildcard, "*")
			return is && name != wildcard && strings.HasSuffix(name, suffix)
		})
	})
}

// hostsOf are the names of a gateway's routes for which a certificate is: that of a
// name, or "" for the gateway's own.
func hostsOf(g *mesh.Gateway, certified string) []string {
	return slices.DeleteFunc(routedHosts(g), func(host string) bool { return certificateFor(g, host) != certified })
}
