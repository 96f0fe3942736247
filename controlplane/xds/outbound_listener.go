package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	faultv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tcpproxyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// outboundListener takes the connections of one caller to one upstream, which only
// the caller's user reaches.
func (b *builder) outboundListener(c call, port int) {
	name := outboundListener(c.caller, c.edge)
	chain := &listenerv3.FilterChain{Name: name}
	var needs []Key
	if c.external != nil && b.unreachable(c) != "" {
		return
	}
	if c.isHTTP() {
		if !b.routes(c) {
			return
		}
		chain.Filters = []*listenerv3.Filter{managed(b.outboundManager(c))}
		needs = []Key{{Route, routeName(c.caller, c.edge)}}
	} else {
		cluster := b.callCluster(c, "")
		chain.Filters = []*listenerv3.Filter{networkFilter("envoy.filters.network.tcp_proxy", b.tcpProxy(c, name, cluster))}
		needs = []Key{{Cluster, cluster}}
	}
	b.add(Listener, name, &listenerv3.Listener{
		Name:                          name,
		Address:                       socketAddress(EdgeAddress, port),
		StatPrefix:                    name,
		FilterChains:                  []*listenerv3.FilterChain{chain},
		TrafficDirection:              corev3.TrafficDirection_OUTBOUND,
		IgnoreGlobalConnLimit:         true, // as of the inbound listener
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit),
	}, c.about(), needs...)
}

// outboundManager has all filters that any route may use, without doing anything:
// routes switch them on. So no change of a route changes the chain, which would end
// the connections of the caller.
func (b *builder) outboundManager(c call) *hcmv3.HttpConnectionManager {
	name := outboundListener(c.caller, c.edge)
	m := httpManager(name)
	fromApplication.on(m)
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routeName(c.caller, c.edge), ConfigSource: ads()}}
	m.HttpFilters = []*hcmv3.HttpFilter{
		httpFilter(faultFilter, &faultv3.HTTPFault{}),
		httpFilter(limitFilter, &localratelimitv3.LocalRateLimit{StatPrefix: name}),
		router(),
	}
	m.AccessLog = b.accessLog(b.loggedCall(c))
	if c.external != nil {
		b.forExternal(m, c.external)
	}
	return m
}

// Names of the filters that routes switch on.
const (
	faultFilter = "envoy.filters.http.fault"
	limitFilter = "envoy.filters.http.local_ratelimit"
)

func (b *builder) loggedCall(c call) logged {
	l := logged{Side: logOutbound, Caller: ID(b.in.Config.TrustDomain, c.caller), Callee: logCallee, Edge: c.edge, HTTP: c.isHTTP()}
	if c.external != nil {
		l.Callee = "" // it has no name of the mesh
	}
	return l
}

// tcpProxy passes connections on as they are. Its only cluster stays the same
// whatever the shares of versions are.
func (b *builder) tcpProxy(c call, stat, cluster string) *tcpproxyv3.TcpProxy {
	acts, err := b.in.Config.Resolve(mesh.Asked{Caller: c.caller, Upstream: c.upstream, Listen: c.listen})
	if err != nil {
		acts = mesh.Effective{} // the edge is there, so it cannot be
	}
	p := &tcpproxyv3.TcpProxy{
		StatPrefix:         stat,
		ClusterSpecifier:   &tcpproxyv3.TcpProxy_Cluster{Cluster: cluster},
		IdleTimeout:        durationpb.New(acts.IdleTimeout.D()),
		MaxConnectAttempts: wrapperspb.UInt32(1),
		HashPolicy:         tcpHash(c.how.Hash),
		AccessLog:          b.accessLog(b.loggedCall(c)),
	}
	if r := acts.Retry; r != nil && retriesConnect(r.On) {
		p.MaxConnectAttempts = wrapperspb.UInt32(uint32(r.Attempts) + 1)
		p.BackoffOptions = &corev3.BackoffStrategy{BaseInterval: durationpb.New(r.Backoff.D()), MaxInterval: durationpb.New(longestBackoff(r.Backoff.D()))}
	}
	return p
}
