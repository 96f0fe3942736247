package xds

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	connectionlimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// gateways builds the listeners through which calls come from outside: one for
// each port of this host, since gateways may have one in common, for other names
// of hosts.
func (b *builder) gateways() {
	ports := map[int]*gatewayPort{}
	for _, name := range slices.Sorted(maps.Keys(b.in.Config.Gateways)) {
		g := b.in.Config.Gateways[name]
		if !slices.Contains(g.Hosts, b.in.Host) {
			continue
		}
		b.gatewayCertificates(name, g)
		for _, l := range g.Listens {
			p := ports[l.Port]
			if p == nil {
				p = &gatewayPort{port: l.Port, protocol: l.Protocol, proxied: l.ProxyProtocol, from: slices.Sorted(slices.Values(l.From))}
				ports[l.Port] = p
			}
			if p.protocol != l.Protocol || p.proxied != l.ProxyProtocol || l.Protocol == "tcp" && len(p.parts) > 0 || !slices.Equal(p.from, slices.Sorted(slices.Values(l.From))) {
				b.problem(Missing, About{Gateway: name}, fmt.Sprintf("port %d is gateway %s's, for something else", l.Port, p.parts[0].name))
				continue
			}
			p.parts = append(p.parts, gatewayPart{name: name, gateway: g, listen: l})
		}
	}
	b.gatewayRoom(ports)
	for _, port := range slices.Sorted(maps.Keys(ports)) {
		b.gatewayListener(ports[port])
	}
}

// gatewayPort is one port of this host, and the gateways that have it.
type gatewayPort struct {
	port     int
	protocol string   // "http", "https", "tcp"
	proxied  bool     // what connects says for whom, by the PROXY protocol
	from     []string // ranges that may connect, sorted; none = everybody
	parts    []gatewayPart
}

// gatewayRoom parts the connections that all gateways of this host may have among
// their chains, which are bounded one by one. So that few chains get another bound
// when there is one more, they are taken for a power of two.
func (b *builder) gatewayRoom(ports map[int]*gatewayPort) {
	chains := 0
	for _, p := range ports {
		if p.protocol != "https" {
			chains++
			continue
		}
		for _, part := range p.parts {
			chains += 1 + len(part.gateway.TLS)
		}
		if len(p.serverNames(0, "")) > 0 { // the one that takes all others has another for its names
			chains++
		}
	}
	if facts := b.in.Facts.Mesh; facts != nil && facts.Envoy != nil && chains > 0 {
		b.room = facts.Envoy.Connections >> bits.Len(uint(chains-1))
	}
}

// connections bounds those of a chain that some gateways have in common.
func (b *builder) connections(stat string, parts []gatewayPart) *listenerv3.Filter {
	most := strictest(parts, func(g *mesh.Gateway) int { return g.Connections })
	if b.room > 0 {
		most = min(most, b.room)
	}
	return networkFilter("envoy.filters.network.connection_limit", &connectionlimitv3.ConnectionLimit{
		StatPrefix: stat, MaxConnections: wrapperspb.UInt64(uint64(most)), // more are closed as they come
	})
}

// gatewayPart is one gateway's listen.
type gatewayPart struct {
	name    string
	gateway *mesh.Gateway
	listen  mesh.GatewayListen
}

// about is the only gateway of a port, or the first one.
func (p *gatewayPort) about() About { return About{Gateway: p.parts[0].name} }

// gatewayListenerName names a port, not a gateway: gateways come to it and leave.
func gatewayListenerName(port int) string { return fmt.Sprintf("gw:%d", port) }

// gatewayRouteName are the routes of a port in the clear, or of one certificate:
// the gateway's own, or the one for a host name.
func gatewayRouteName(port int, gateway, host string) string {
	name := fmt.Sprintf("r:gw:%d", port)
	if gateway != "" {
		name += ":" + gateway
	}
	if host != "" {
		name += ":" + host
	}
	return name
}

// gatewaySecret is a gateway's certificate, or the one for a host name.
func gatewaySecret(gateway, host string) string {
	if host != "" {
		return "gw:" + gateway + ":" + host
	}
	return "gw:" + gateway
}

// strictest is the lowest bound that one of some gateways has.
func strictest[T cmp.Ordered](parts []gatewayPart, bound func(*mesh.Gateway) T) T {
	low := bound(parts[0].gateway)
	for _, part := range parts[1:] {
		low = min(low, bound(part.gateway))
	}
	return low
}
