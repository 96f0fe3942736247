package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// gatewayClearChain takes HTTP in the clear, for all gateways of a port.
func (b *builder) gatewayClearChain(l *listenerv3.Listener, p *gatewayPort) []Key {
	routes := gatewayRouteName(p.port, "", "")
	l.FilterChains = []*listenerv3.FilterChain{{
		Name:    l.Name,
		Filters: b.gatewayFilters(l.Name, routes, p.parts),
	}}
	return []Key{b.gatewayClearRoutes(routes, p)}
}

// gatewayTLSChains takes HTTPS: one chain for each certificate, by the name that
// the client asks for. The first gateway's own takes what no other does.
func (b *builder) gatewayTLSChains(l *listenerv3.Listener, p *gatewayPort) []Key {
	var needs []Key
	for i, part := range p.parts {
		certificates := certifiedHosts(part.gateway)
		if part.gateway.Certificate != nil {
			certificates = append(certificates, "")
		}
		for _, certified := range certificates {
			names, all := p.serverNames(i, certified), i == 0 && certified == ""
			if len(names) == 0 && !all {
				continue
			}
			chain, keys := b.gatewayTLSChain(p, part, certified)
			needs = append(needs, keys...)
			if all {
				l.DefaultFilterChain = proto.CloneOf(chain)
			}
			if len(names) > 0 {
				chain.FilterChainMatch = &listenerv3.FilterChainMatch{ServerNames: names}
				l.FilterChains = append(l.FilterChains, chain)
			}
		}
	}
	return needs
}

// gatewayTLSChain is the chain of one certificate.
func (b *builder) gatewayTLSChain(p *gatewayPort, part gatewayPart, host string) (*listenerv3.FilterChain, []Key) {
	routes := gatewayRouteName(p.port, part.name, host)
	secret := gatewaySecret(part.name, host)
	chain := &listenerv3.FilterChain{
		Name:                          secret,
		Filters:                       b.gatewayFilters(gatewayListenerName(p.port), routes, []gatewayPart{part}),
		TransportSocket:               gatewayTLS(secret),
		TransportSocketConnectTimeout: durationpb.New(part.gateway.ClientTimeout.D()),
	}
	return chain, []Key{{Secret, secret}, b.gatewayTLSRoutes(routes, p, part, host)}
}

// gatewayTLS is TLS as browsers and programs of today speak it.
func gatewayTLS(secret string) *corev3.TransportSocket {
	params := tlsVersions(tlsv3.TlsParameters_TLSv1_2)
	params.CipherSuites = []string{ // of 1.2; those of 1.3 are all good
		"[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]",
		"[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
		"ECDHE-ECDSA-AES256-GCM-SHA384",
		"ECDHE-RSA-AES256-GCM-SHA384",
	}
	return transportSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext: &tlsv3.CommonTlsContext{
			TlsParams:                      params,
			AlpnProtocols:                  []string{"h2", "http/1.1"},
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds(secret)},
		},
		RequireClientCertificate: wrapperspb.Bool(false),
	})
}

func clientTimeout(g *mesh.Gateway) mesh.Duration { return g.ClientTimeout }

// gatewayFilters take the requests of a chain. Where gateways have one in common
// the strictest bound of each kind acts: which gateway a request is for shows when
// it has been read.
func (b *builder) gatewayFilters(stat, routes string, parts []gatewayPart) []*listenerv3.Filter {
	m := httpManager(stat)
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: routes, ConfigSource: ads()}}
	m.HttpFilters = gatewayHTTPFilters(stat)
	m.AccessLog = b.accessLog(logged{Side: logGateway, HTTP: true, Callee: logCallee})
	m.CommonHttpProtocolOptions.IdleTimeout = durationpb.New(idleClient)
	headerBound{headersKiB(strictest(parts, func(g *mesh.Gateway) int64 { return g.MaxHeaders })), fromOutside.count}.on(m)
	m.RequestHeadersTimeout = durationpb.New(strictest(parts, clientTimeout).D())

	// Who calls is who connects, and an address that he sends before his own is hearsay.
	m.UseRemoteAddress = wrapperspb.Bool(true)
	m.PreserveExternalRequestId = false
	m.Http2ProtocolOptions.MaxConcurrentStreams = wrapperspb.UInt32(outsideStreams)
	m.Http2ProtocolOptions.InitialStreamWindowSize = wrapperspb.UInt32(outsideWindow)
	m.ForwardClientCertDetails = hcmv3.HttpConnectionManager_SANITIZE
	m.StripTrailingHostDot = true
	return []*listenerv3.Filter{
		b.connections(stat, parts),
		managed(m),
	}
}

// Of one HTTP/2 connection from outside: what Envoy's notes on edge proxies say,
// so that a client cannot hold all requests of an upstream with one.
const (
	outsideStreams = 100
	outsideWindow  = 64 << 10 // bytes of a stream
)

// headersKiB is a bound in the unit of Envoy, from 1 to what the hops behind the
// gateway take; a configuration may hold more.
func headersKiB(bytes int64) uint32 {
	return uint32(min(max((bytes+1023)/1024, 1), int64(fromOutside.kib)))
}
