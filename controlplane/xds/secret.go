package xds

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/nixmesh/nixmesh/mesh"
)

// secrets builds whom this host trusts, and who it is.
func (b *builder) secrets() {
	domain := b.in.Config.TrustDomain
	if domain == "" {
		return // the fleet has no CA yet
	}
	b.add(Secret, trustSecret(domain), &tlsv3.Secret{Name: trustSecret(domain), Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline([]byte(b.in.Facts.Mesh.Roots))},
	}}, About{})
	for _, name := range b.identities() {
		b.identity(name)
	}
}

// identities are the services and gateways of this host that take or make calls.
func (b *builder) identities() []string {
	c := b.in.Config
	var names []string
	for name, s := range c.Services {
		if s.RunsOn(b.in.Host) && (len(s.Listens) > 0 || len(c.Edges[name]) > 0) {
			names = append(names, name)
		}
	}
	for name, g := range c.Gateways {
		if slices.Contains(g.Hosts, b.in.Host) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// identity is a service's or gateway's certificate. One that is not there yet is
// left out, and Envoy serves all else. Where it was lost since Envoy got it, Envoy
// goes on with what it has: that is good until it expires, and no worse then than
// none. What is not of this host any more is taken away.
func (b *builder) identity(name string) {
	about := About{Service: name}
	if b.in.Config.Gateways[name] != nil {
		about = About{Gateway: name}
	}
	leaf, ok := b.leaf(name)
	if !ok {
		b.spared = append(b.spared, Identity(name))
		if b.held(name) {
			b.problem(Waiting, about, fmt.Sprintf("%s has lost its certificate, and Envoy goes on with its copy until another comes", name))
			return
		}
		b.problem(Waiting, about, fmt.Sprintf("%s has no certificate yet: it can neither call nor be called on this host", name))
		return
	}
	secret := identitySecret(name)
	b.add(Secret, secret, &tlsv3.Secret{Name: secret, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(leaf.Chain), PrivateKey: inline(leaf.Key)},
	}}, about)
}

func (b *builder) leaf(name string) (Leaf, bool) {
	if b.in.Leaf == nil {
		return Leaf{}, false
	}
	return b.in.Leaf(name)
}

// held says whether Envoy has a certificate that this host knows no more.
func (b *builder) held(name string) bool { return b.in.Held != nil && b.in.Held(name) }

// certified says whether Envoy has a certificate of a service or gateway, or is given
// one.
func (b *builder) certified(name string) bool {
	ok, asked := b.leaves[name]
	if !asked {
		if _, ok = b.leaf(name); !ok {
			ok = b.held(name)
		}
		if b.leaves == nil {
			b.leaves = map[string]bool{}
		}
		b.leaves[name] = ok
	}
	return ok
}

func inline(pem []byte) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: pem}}
}

// callerID is the SPIFFE name of who may stand in an allow: a service, a gateway,
// or "operator/NAME".
func callerID(trustDomain, caller string) string {
	if operator, ok := strings.CutPrefix(caller, "operator/"); ok {
		return "spiffe://" + trustDomain + "/operator/" + operator
	}
	return ID(trustDomain, caller)
}

// callersOf are those who have an edge to a listen, and the operators with access
// to it, sorted. What the callee's allows say of them is not looked at.
func callersOf(c *mesh.Config, service, listen string) []string {
	var callers []string
	for caller, edges := range c.Edges {
		if edges[mesh.EdgeName(service, listen)] != nil {
			callers = append(callers, caller)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Operators)) {
		if slices.Contains(c.Operators[name].Access, service) {
			callers = append(callers, "operator/"+name)
		}
	}
	slices.Sort(callers)
	return callers
}

func isOperator(caller string) bool { return strings.HasPrefix(caller, "operator/") }
