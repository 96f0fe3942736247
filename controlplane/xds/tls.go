package xds

import (
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// What a mesh connection can carry. Between hosts HTTP is always HTTP/2.
const (
	alpnHTTP = "h2"
	alpnTCP  = "nixmesh" // bytes as they come, of tcp and redis
)

// saying is how a mesh connection names what it carries. Of bytes it says who calls,
// too: each caller has a filter chain of its own then, and one who may not call any
// more loses his connections with it, while the others keep theirs. The chain asks
// for his certificate, so that nobody gains by another's name.
func saying(alpn, caller string) string {
	if alpn == alpnTCP {
		return alpn + "/" + caller
	}
	return alpn
}

// fetchTimeout bounds the wait of a listener or cluster for what it names. The
// agent answers at once, also that there is no such resource; but where Envoy
// waits without a bound, one lost answer holds back all that is sent later.
const fetchTimeout = 2 * time.Second

// ads says that a resource comes on the agent's stream.
func ads() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3,
		InitialFetchTimeout:   durationpb.New(fetchTimeout),
	}
}

func sds(secret string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: secret, SdsConfig: ads()}
}

// isHTTP says whether Envoy reads a protocol's requests.
func isHTTP(protocol string) bool { return protocol != "tcp" && protocol != "redis" }

// clientTLS is how a caller of this host begins a mesh connection: by its own
// certificate, to exactly the upstream. serverName (see ServerName) picks the
// version and the listen there. With it come the secrets that it needs.
func (b *builder) clientTLS(caller, upstream, serverName, alpn string) (*corev3.TransportSocket, []Key) {
	common := b.meshTLS(caller, saying(alpn, caller))
	common.ValidationContextType = b.peers(exactURI(ID(b.in.Config.TrustDomain, upstream)))
	return transportSocket(&tlsv3.UpstreamTlsContext{
		CommonTlsContext: common, Sni: serverName,
		MaxSessionKeys: wrapperspb.UInt32(0), // no resumption: it would pass over the other's certificate
	}), b.meshSecrets(caller)
}

// serverTLS is how a service of this host takes mesh connections that carry HTTP:
// from anybody of the mesh, since who may call is asked of each request.
func (b *builder) serverTLS(service string) (*corev3.TransportSocket, []Key) {
	return b.meshServer(service, alpnHTTP, prefixURI("spiffe://"+b.in.Config.TrustDomain+"/"))
}

// serverTLSFrom is how it takes those of one caller that carry something else. The
// handshake has to tell: a server that speaks first has spoken by whatever is later.
func (b *builder) serverTLSFrom(service, caller string) (*corev3.TransportSocket, []Key) {
	return b.meshServer(service, saying(alpnTCP, caller), exactURI(callerID(b.in.Config.TrustDomain, caller)))
}

func (b *builder) meshServer(service, alpn string, peer *tlsv3.SubjectAltNameMatcher) (*corev3.TransportSocket, []Key) {
	common := b.meshTLS(service, alpn)
	common.ValidationContextType = b.peers(peer)
	return transportSocket(&tlsv3.DownstreamTlsContext{
		CommonTlsContext:         common,
		RequireClientCertificate: wrapperspb.Bool(true),
		// A resumed session would pass over the caller's certificate.
		SessionTicketKeysType:            &tlsv3.DownstreamTlsContext_DisableStatelessSessionResumption{DisableStatelessSessionResumption: true},
		DisableStatefulSessionResumption: true,
	}), b.meshSecrets(service)
}

// meshTLS is what both sides of a mesh connection have in common.
func (b *builder) meshTLS(identity, alpn string) *tlsv3.CommonTlsContext {
	return &tlsv3.CommonTlsContext{
		TlsParams:                      tlsVersions(tlsv3.TlsParameters_TLSv1_3),
		AlpnProtocols:                  []string{alpn},
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds(identitySecret(identity))},
	}
}

func (b *builder) meshSecrets(identity string) []Key {
	return []Key{{Secret, identitySecret(identity)}, {Secret, trustSecret(b.in.Config.TrustDomain)}}
}

// peers is trust in the mesh's roots, for certificates of one name or kind of name.
func (b *builder) peers(of *tlsv3.SubjectAltNameMatcher) *tlsv3.CommonTlsContext_CombinedValidationContext {
	return &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
		DefaultValidationContext:         &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{of}},
		ValidationContextSdsSecretConfig: sds(trustSecret(b.in.Config.TrustDomain)),
	}}
}

// tlsVersions are those from one version on. Both ends are said: as a client,
// Envoy would else end with 1.2.
func tlsVersions(from tlsv3.TlsParameters_TlsProtocol) *tlsv3.TlsParameters {
	return &tlsv3.TlsParameters{TlsMinimumProtocolVersion: from, TlsMaximumProtocolVersion: tlsv3.TlsParameters_TLSv1_3}
}

func exactURI(uri string) *tlsv3.SubjectAltNameMatcher {
	return uriName(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: uri}})
}

func prefixURI(prefix string) *tlsv3.SubjectAltNameMatcher {
	return uriName(&matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Prefix{Prefix: prefix}})
}

func uriName(m *matcherv3.StringMatcher) *tlsv3.SubjectAltNameMatcher {
	return &tlsv3.SubjectAltNameMatcher{SanType: tlsv3.SubjectAltNameMatcher_URI, Matcher: m}
}

// transportSocket is TLS as a listener's chain or a cluster has it.
func transportSocket(context Message) *corev3.TransportSocket {
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: Any(context)},
	}
}
