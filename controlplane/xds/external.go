package xds

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// What an external's TLS is to the mesh.
const (
	tlsOriginate   = "originate"   // the caller speaks in the clear
	tlsPassthrough = "passthrough" // the caller's own
)

// unreachable says why a call to an external cannot be built here, "" if it can.
func (b *builder) unreachable(c call) string {
	x, files := c.external, b.externalFiles(c.upstream)
	switch {
	case slices.ContainsFunc(x.Hosts, func(at mesh.Endpoint) bool { return strings.HasPrefix(at.Host, "*") }):
		return "names with * are not called yet"
	case x.TLS != tlsOriginate:
		return ""
	case x.CA != systemCA && x.CA != "" && files.CA == "":
		return "this host does not have its roots yet"
	case x.Cert != "" && (files.Chain == "" || files.Key == ""):
		return "this host does not have the certificate for it yet"
	default:
		return ""
	}
}

// externalFiles are those that the facts of this host name for an external.
func (b *builder) externalFiles(name string) hostfacts.External {
	if b.in.Facts.Mesh != nil {
		for _, files := range b.in.Facts.Mesh.Externals {
			if files.Name == name {
				return files
			}
		}
	}
	return hostfacts.External{}
}

// externalName is the name that an external's certificate has to have, or its
// address.
func externalName(x *mesh.External) string {
	if x.ServerName != "" {
		return x.ServerName
	}
	return x.Hosts[0].Host
}

// externalHost is the host that requests to an external name, with the port where
// that is not the scheme's.
func externalHost(x *mesh.External) string {
	usual := 80
	if x.TLS == tlsOriginate {
		usual = 443
	}
	host := externalName(x)
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	if port := x.Hosts[0].Port; port != usual {
		host = fmt.Sprintf("%s:%d", host, port)
	}
	return host
}

// forExternal makes requests look as if the caller had made them there: nobody
// outside is told of the mesh.
func (b *builder) forExternal(m *hcmv3.HttpConnectionManager, x *mesh.External) {
	m.GenerateRequestId = wrapperspb.Bool(false)
	if x.TLS == tlsOriginate {
		m.SchemeHeaderTransformation = &corev3.SchemeHeaderTransformation{
			Transformation: &corev3.SchemeHeaderTransformation_SchemeToOverwrite{SchemeToOverwrite: "https"},
		}
	}
}

// external adds the routes of a call to an external: all to the same place.
func (t *routeTable) external() {
	cluster := upstreamCluster(t.call.caller, t.call.edge, "")
	t.needs = append(t.needs, Key{Cluster, cluster})
	for _, upgraded := range t.kinds() {
		action := &routev3.RouteAction{
			ClusterSpecifier:            &routev3.RouteAction_Cluster{Cluster: cluster},
			ClusterNotFoundResponseCode: routev3.RouteAction_SERVICE_UNAVAILABLE,
			HashPolicy:                  requestHash(t.call.how.Hash),
			HostRewriteSpecifier:        &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: externalHost(t.call.external)},
		}
		t.patience(action, nil, upgraded)
		name, match := "default", pathMatch(anyPath().Path)
		if upgraded {
			name, match.Headers = name+" upgraded", []*routev3.HeaderMatcher{toWebSocket()}
		}
		t.list = append(t.list, &routev3.Route{
			Name: name, Match: match, Action: &routev3.Route_Route{Route: action},
			RequestHeadersToRemove: []string{"x-forwarded-proto"},
		})
	}
}
