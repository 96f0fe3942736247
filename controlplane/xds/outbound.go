package xds

import (
	"maps"
	"slices"

	"github.com/nixmesh/nixmesh/mesh"
)

// outbound builds what the callers of this host need: for each edge of a service a
// listener, and for each edge of a service or gateway the clusters with their
// endpoints. What only one of the host and the configuration has is pending: it is
// left out, without a problem.
func (b *builder) outbound() {
	if b.in.Config.TrustDomain == "" {
		return // nobody has a certificate yet
	}
	for i := range b.in.Facts.Edges {
		f := &b.in.Facts.Edges[i]
		if c, ok := b.call(f.Caller, mesh.EdgeName(f.Upstream, f.Listen)); ok {
			b.outboundListener(c, f.EdgePort)
		}
	}
	externals := map[string]bool{}
	for _, c := range b.calls() {
		if c.external != nil {
			b.externalClusters(c)
			externals[c.upstream] = true
			continue
		}
		b.serviceClusters(c)
		b.assignments(c)
	}
	for _, name := range slices.Sorted(maps.Keys(externals)) {
		b.externalSecrets(name)
	}
}

// call is one edge that is used from this host.
type call struct {
	caller, edge     string // edge is the mesh.EdgeName of upstream and listen
	upstream, listen string
	protocol         string
	how              *mesh.Edge
	service          *mesh.Service  // nil for an external
	external         *mesh.External // nil for a service
}

// call is an edge of the configuration; false if there is none.
func (b *builder) call(caller, edge string) (call, bool) {
	config := b.in.Config
	c := call{caller: caller, edge: edge, how: config.Edges[caller][edge]}
	if c.how == nil {
		return call{}, false
	}
	c.upstream, c.listen = mesh.SplitEdgeName(edge)
	if c.external = config.Externals[c.upstream]; c.external != nil {
		c.protocol = c.external.Protocol
		if c.external.TLS == "passthrough" {
			c.protocol = "tcp" // what is in it is between the caller and the external
		}
		return c, true
	}
	c.service = config.Services[c.upstream]
	if c.service == nil {
		return call{}, false
	}
	listen := c.service.Listen(c.listen)
	if listen == nil {
		return call{}, false
	}
	c.protocol = listen.Protocol
	return c, true
}

func (c call) isHTTP() bool { return isHTTP(c.protocol) }

func (c call) about() About {
	if c.external != nil {
		return About{Caller: c.caller, Edge: c.edge, External: c.upstream}
	}
	return About{Caller: c.caller, Edge: c.edge}
}

// versions are the names of the upstream's versions, in the spec's order. One
// without versions has the name "".
func (c call) versions() []string {
	names := make([]string, len(c.service.Versions))
	for i := range c.service.Versions {
		names[i] = c.service.Versions[i].Name
	}
	return names
}

// calls are the edges for which this host needs clusters: those of its services
// and gateways, and those to which they fail over.
func (b *builder) calls() []call { return b.callsOf("") }

// callsOf are those of one upstream, or of any.
func (b *builder) callsOf(upstream string) []call {
	seen := map[[2]string]bool{}
	var list []call
	add := func(caller, edge string) {
		if name, _ := mesh.SplitEdgeName(edge); upstream != "" && name != upstream || seen[[2]string{caller, edge}] {
			return
		}
		seen[[2]string{caller, edge}] = true
		if c, ok := b.call(caller, edge); ok {
			list = append(list, c)
		}
	}
	for caller, edge := range b.used {
		add(caller, edge)
		if how := b.in.Config.Edges[caller][edge]; how != nil {
			for _, to := range how.Failover.To {
				add(caller, to)
			}
		}
	}
	return list
}

// used gives the edges whose callers are on this host, in an order that equal
// inputs have in common.
func (b *builder) used(yield func(caller, edge string) bool) {
	for i := range b.in.Facts.Edges {
		f := &b.in.Facts.Edges[i]
		if !yield(f.Caller, mesh.EdgeName(f.Upstream, f.Listen)) {
			return
		}
	}
	for _, gateway := range slices.Sorted(maps.Keys(b.in.Config.Gateways)) {
		if !slices.Contains(b.in.Config.Gateways[gateway].Hosts, b.in.Host) {
			continue
		}
		for _, edge := range slices.Sorted(maps.Keys(b.in.Config.Edges[gateway])) {
			if !yield(gateway, edge) {
				return
			}
		}
	}
}
