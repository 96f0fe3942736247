package xds

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	dnsfamilyv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

const (
	systemCA     = "system"
	systemBundle = "/etc/ssl/certs/ca-certificates.crt" // where NixOS keeps the roots that a host trusts

	// Names of externals are looked up again this often, or as often as their
	// records say. A look-up ends in time: Envoy takes listeners when the first
	// one of each cluster has ended.
	dnsEvery       = 30 * time.Second
	dnsAfterError  = time.Second
	dnsAfterErrors = 10 * time.Second
	dnsJitter      = time.Second
	dnsTimeout     = 1 // second, of each try
	dnsTries       = 2
)

// externalSecret is the certificate that an external is shown.
func externalSecret(name string) string { return "ext:" + name }

// externalRoots are the roots that vouch for an external.
func externalRoots(name string) string { return "ext-ca:" + name }

// externalClusters builds the cluster of a call to an external.
func (b *builder) externalClusters(c call) {
	if why := b.unreachable(c); why != "" {
		b.problem(Missing, c.about(), fmt.Sprintf("external %s: %s", c.upstream, why))
		return
	}
	cluster := b.callingCluster(c, upstreamCluster(c.caller, c.edge, ""))
	if c.isHTTP() {
		speak(cluster, c.protocol != "http", idleClient)
	}
	addresses(cluster, c.external.Hosts)
	var needs []Key
	if c.external.TLS == tlsOriginate {
		cluster.TransportSocket, needs = b.externalTLS(c)
	}
	b.addCluster(c, cluster, needs)
}

// addresses are the ends of a cluster: addresses as they are, and names as DNS has
// them, all of whose addresses count.
func addresses(cluster *clusterv3.Cluster, hosts []mesh.Endpoint) {
	group := &endpointv3.LocalityLbEndpoints{}
	static := true
	for _, at := range hosts {
		if _, err := netip.ParseAddr(at.Host); err != nil {
			static = false
		}
		group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: socketAddress(at.Host, at.Port)}},
		})
	}
	cluster.LoadAssignment = &endpointv3.ClusterLoadAssignment{ClusterName: cluster.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{group}}
	if static {
		cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		return
	}
	cluster.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.clusters.dns", TypedConfig: Any(&dnsclusterv3.DnsCluster{
			DnsRefreshRate:        durationpb.New(dnsEvery),
			DnsFailureRefreshRate: &dnsclusterv3.DnsCluster_RefreshRate{BaseInterval: durationpb.New(dnsAfterError), MaxInterval: durationpb.New(dnsAfterErrors)},
			DnsJitter:             durationpb.New(dnsJitter),
			RespectDnsTtl:         true,
			DnsLookupFamily:       dnsfamilyv3.DnsLookupFamily_V4_PREFERRED,
			TypedDnsResolverConfig: &corev3.TypedExtensionConfig{Name: "envoy.network.dns_resolver.cares", TypedConfig: Any(&caresv3.CaresDnsResolverConfig{
				QueryTimeoutSeconds: wrapperspb.UInt64(dnsTimeout), QueryTries: wrapperspb.UInt32(dnsTries),
			})},
		}),
	}}
}

// externalTLS is TLS to an external, whose certificate has to have its name.
func (b *builder) externalTLS(c call) (*corev3.TransportSocket, []Key) {
	x, files := c.external, b.externalFiles(c.upstream)
	common := &tlsv3.CommonTlsContext{TlsParams: tlsVersions(tlsv3.TlsParameters_TLSv1_2)}
	switch {
	case !c.isHTTP():
	case c.protocol == "http":
		common.AlpnProtocols = []string{"http/1.1"}
	default:
		common.AlpnProtocols = []string{"h2"}
	}
	var needs []Key
	if x.Cert != "" {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{sds(externalSecret(c.upstream))}
		needs = append(needs, Key{Secret, externalSecret(c.upstream)})
	}
	names := &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{certifiedName(externalName(x))}}
	if files.CA == "" {
		names.TrustedCa = &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: systemBundle}}
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: names}
	} else {
		common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         names,
			ValidationContextSdsSecretConfig: sds(externalRoots(c.upstream)),
		}}
		needs = append(needs, Key{Secret, externalRoots(c.upstream)})
	}
	context := &tlsv3.UpstreamTlsContext{CommonTlsContext: common, MaxSessionKeys: wrapperspb.UInt32(0)}
	if _, err := netip.ParseAddr(externalName(x)); err != nil {
		context.Sni = externalName(x) // which an address cannot be (RFC 6066, 3)
	}
	return transportSocket(context), needs
}

// certifiedName is a name, or an address, that a certificate has to have.
func certifiedName(name string) *tlsv3.SubjectAltNameMatcher {
	kind := tlsv3.SubjectAltNameMatcher_DNS
	if _, err := netip.ParseAddr(name); err == nil {
		kind = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
	}
	return &tlsv3.SubjectAltNameMatcher{SanType: kind, Matcher: exactly(name)}
}

// externalSecrets reads what this host has for an external: the roots that vouch
// for it, and the certificate that it is shown.
func (b *builder) externalSecrets(name string) {
	x, files, about := b.in.Config.Externals[name], b.externalFiles(name), About{External: name}
	if x.TLS != tlsOriginate {
		return
	}
	if files.CA != "" {
		b.rootsOf(name, files.CA)
	}
	if x.Cert == "" || files.Chain == "" || files.Key == "" {
		return
	}
	secret := externalSecret(name)
	leaf, certificate, bad, err := b.chosen(secret, nil, func() (Leaf, *x509.Certificate, error) { return b.pairOf(files.Chain, files.Key) })
	if err != nil {
		b.problem(Missing, about, fmt.Sprintf("external %s: the certificate to show it cannot be used: %v", name, err))
		return
	}
	if bad != "" {
		b.problem(Standin, about, fmt.Sprintf("external %s is called %s", name, instead(certificate, x.Cert, bad)))
	} else if why := b.outside(certificate); why != "" {
		b.problem(Missing, about, fmt.Sprintf("external %s: the certificate to show it %s; deploy another", name, why))
	}
	b.add(Secret, secret, certificateSecret(secret, leaf), about)
}

// rootsOf builds the roots that vouch for an external: those of its file, or the
// ones before where that has none.
func (b *builder) rootsOf(name, file string) {
	about, secret := About{External: name}, externalRoots(name)
	roots, until, err := b.readRoots(file)
	if err != nil {
		kept, _, ok := b.before(secret)
		if !ok {
			b.problem(Missing, about, fmt.Sprintf("external %s: its roots cannot be used: %v", name, err))
			return
		}
		b.problem(Standin, about, fmt.Sprintf("external %s is judged by the roots from before: those of %s cannot be used: %v", name, b.in.Config.Externals[name].CA, err))
		roots, until = kept.Chain, kept.Until
	}
	b.keep(secret, Leaf{Chain: roots}, until)
	b.add(Secret, secret, &tlsv3.Secret{Name: secret, Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(roots)},
	}}, about)
}

func (b *builder) readRoots(file string) ([]byte, time.Time, error) {
	if b.in.File == nil {
		return nil, time.Time{}, errors.New("no files are read here")
	}
	text, err := b.in.File(file)
	if err != nil {
		return nil, time.Time{}, errors.New("the file cannot be read; deploy it")
	}
	roots, until, err := readRoots(text)
	if err != nil {
		err = fmt.Errorf("%w; deploy a good one", err)
	}
	return roots, until, err
}
