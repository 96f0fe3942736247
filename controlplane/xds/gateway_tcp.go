package xds

import (
	"fmt"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// gatewayTCPChain passes connections on to a service.
func (b *builder) gatewayTCPChain(l *listenerv3.Listener, p *gatewayPort) []Key {
	part := p.parts[0]
	edge, ok := b.gatewayEdge(part.name, part.listen.Service, false)
	if !ok {
		b.problem(Missing, p.about(), fmt.Sprintf("port %d has no edge to %s", p.port, part.listen.Service))
		return nil
	}
	c, _ := b.call(part.name, edge)
	cluster := b.callCluster(c, "")
	proxy := b.tcpProxy(c, l.Name, cluster)
	proxy.AccessLog = b.accessLog(logged{Side: logGateway, Callee: logCallee, Edge: edge})
	l.FilterChains = []*listenerv3.FilterChain{{
		Name:    l.Name,
		Filters: []*listenerv3.Filter{b.connections(l.Name, p.parts), networkFilter("envoy.filters.network.tcp_proxy", proxy)},
	}}
	return []Key{{Cluster, cluster}}
}
