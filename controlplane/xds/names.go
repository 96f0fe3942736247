package xds

import (
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
)

// Names of resources. Part of one is a name of the spec, which holds neither
// colons nor dots nor underscores; Envoy writes a colon as an underscore in the
// names of its statistics.

// InboundListener takes the mesh's mTLS connections.
const InboundListener = "in:mtls"

// outboundListener is where the kernel sends one caller for one upstream.
func outboundListener(caller, edge string) string { return "out:" + caller + ":" + edge }

// upstreamCluster is an edge, to one version of the upstream ("" where it has none).
func upstreamCluster(caller, edge, version string) string {
	return "u:" + caller + ":" + edge + at(version)
}

// assignmentName is the one of an upstreamCluster: no two clusters share one.
func assignmentName(caller, edge, version string) string {
	return "e:" + caller + ":" + edge + at(version)
}

// routeName are the routes of an outbound listener.
func routeName(caller, edge string) string { return "r:" + caller + ":" + edge }

// localCluster are the copies of a version of a service on this host.
func localCluster(service, listen, version string) string {
	return "local:" + mesh.EdgeName(service, listen) + at(version)
}

// identitySecret is the certificate of a service or gateway, as server and as caller.
func identitySecret(name string) string { return "svc:" + name }

// Identity is the certificate of a service or gateway.
func Identity(name string) Key { return Key{Secret, identitySecret(name)} }

// Identified is whose certificate a resource is.
func Identified(k Key) (name string, ok bool) {
	if k.Type != Secret {
		return "", false
	}
	return strings.CutPrefix(k.Name, identitySecret(""))
}

// Inbound is the listener that takes the mesh's connections.
func Inbound() Key { return Key{Listener, InboundListener} }

// trustSecret are the roots of the mesh, as a validation context.
func trustSecret(domain string) string { return "trust:" + domain }

// rulesExtension is the RBAC filter of a listen that is HTTP.
func rulesExtension(service, listen string) string { return "rbac:" + mesh.EdgeName(service, listen) }

// limitsExtension is the rate limit of a listen that is HTTP.
func limitsExtension(service, listen string) string { return "limit:" + mesh.EdgeName(service, listen) }

func at(version string) string {
	if version == "" {
		return ""
	}
	return "@" + version
}

// ServerName is the SNI of one version of a listen: it picks the filter chain at
// the host where it runs. "" are an only listen, and a service without versions.
func ServerName(domain, service, listen, version string) string {
	name := service + "." + domain
	if version != "" {
		name = "v-" + version + "." + name
	}
	if listen != "" {
		name = "l-" + listen + "." + name
	}
	return name
}

// ID is the SPIFFE name of a service or gateway.
func ID(trustDomain, name string) string { return "spiffe://" + trustDomain + "/svc/" + name }
