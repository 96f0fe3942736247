package xds

import (
	"fmt"
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspectorv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	helloTimeout  = 10 * time.Second // for the PROXY header, and the first bytes of TLS
	gatewayBuffer = 256 << 10        // bytes a connection may have on the way
	mostBacklog   = 1024             // connections that nobody took yet
)

// gatewayListener builds the listener of one port.
func (b *builder) gatewayListener(p *gatewayPort) {
	l := &listenerv3.Listener{
		Name:                          gatewayListenerName(p.port),
		Address:                       socketAddress("0.0.0.0", p.port),
		StatPrefix:                    gatewayListenerName(p.port),
		TrafficDirection:              corev3.TrafficDirection_INBOUND,
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(gatewayBuffer),
		ListenerFiltersTimeout:        durationpb.New(helloTimeout),
		TcpBacklogSize:                wrapperspb.UInt32(mostBacklog),
		TcpKeepalive:                  keepalive(),
		AccessLog:                     b.unmatchedLog(logged{Side: logGateway}),
	}
	if b.in.IPv6 {
		l.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: socketAddress("::", p.port)}}
	}
	if p.proxied {
		l.ListenerFilters = append(l.ListenerFilters, listenerFilter("envoy.filters.listener.proxy_protocol", &proxyprotocolv3.ProxyProtocol{}))
	}
	from, err := ranges(p.from)
	if err != nil || len(from) == 0 && (p.proxied || p.protocol == "tcp") {
		b.problem(Missing, p.about(), fmt.Sprintf("nobody may connect to port %d: there are no good ranges in its from", p.port))
		return
	}
	var needs []Key
	switch p.protocol {
	case "https":
		l.ListenerFilters = append(l.ListenerFilters, listenerFilter("envoy.filters.listener.tls_inspector", &tlsinspectorv3.TlsInspector{}))
		needs = b.gatewayTLSChains(l, p)
	case "http":
		needs = b.gatewayClearChain(l, p)
	default:
		needs = b.gatewayTCPChain(l, p)
	}
	onlyFrom(l, from)
	if len(l.FilterChains) > 0 || l.DefaultFilterChain != nil {
		b.add(Listener, l.Name, l, p.about(), needs...)
	}
}

// onlyFrom leaves the chains of a listener to those who connect from some ranges,
// whatever the PROXY protocol says for whom; others find no chain and are closed.
func onlyFrom(l *listenerv3.Listener, from []*corev3.CidrRange) {
	if len(from) == 0 {
		return
	}
	if l.DefaultFilterChain != nil { // which would take everybody
		l.FilterChains, l.DefaultFilterChain = append(l.FilterChains, l.DefaultFilterChain), nil
	}
	for _, chain := range l.FilterChains {
		if chain.FilterChainMatch == nil {
			chain.FilterChainMatch = &listenerv3.FilterChainMatch{}
		}
		chain.FilterChainMatch.DirectSourcePrefixRanges = from
	}
}

func socketAddress(address string, port int) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: address, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

func listenerFilter(name string, config Message) *listenerv3.ListenerFilter {
	return &listenerv3.ListenerFilter{Name: name, ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: Any(config)}}
}

// ranges are CIDR ranges, of which validation holds that they are some.
func ranges(from []string) ([]*corev3.CidrRange, error) {
	var out []*corev3.CidrRange
	for _, text := range from {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not a range of addresses", text)
		}
		out = append(out, &corev3.CidrRange{AddressPrefix: prefix.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(prefix.Bits()))})
	}
	return out, nil
}
