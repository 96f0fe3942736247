package ca

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/trust"
)

// Clock tells the time of day. It may be wrong, and it may jump.
type Clock interface {
	Now() time.Time
}

// Transport carries a request to an authority over TLS that is pinned to the
// authority's node key; the asking host needs no certificate. Implementations
// bound what they read by what the context and ParseAnswer allow.
type Transport interface {
	// Challenge is a nonce of an authority's for a request of this host.
	Challenge(ctx context.Context, authority, host string) (nonce []byte, err error)
	// Issue is the authority's answer, as Answer.Encode wrote it.
	Issue(ctx context.Context, authority string, request SignedRequest) (answer []byte, err error)
}

// Fleet is what both sides have to know of the fleet: the mesh configuration
// that acts, and the roots that the host's generation trusts. It is not changed
// once it is given.
type Fleet struct {
	Config *mesh.Config
	Roots  trust.Bundle
}

// NewFleet joins the two, which have to be of one trust domain.
func NewFleet(config *mesh.Config, roots trust.Bundle) (*Fleet, error) {
	if config.TrustDomain == "" || config.TrustDomain != string(roots.Domain) {
		return nil, fmt.Errorf("join configuration and roots: trust domain %q is not that of the roots, %q", config.TrustDomain, roots.Domain)
	}
	return &Fleet{config, roots}, nil
}

// places says whether the configuration places a service or gateway on a host.
func (f *Fleet) places(name, host string) bool {
	if s := f.Config.Services[name]; s != nil {
		return s.RunsOn(host)
	}
	g := f.Config.Gateways[name]
	return g != nil && slices.Contains(g.Hosts, host)
}

// placed are the services and gateways on a host, sorted.
func (f *Fleet) placed(host string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(f.Config.Services)) {
		if f.places(name, host) {
			names = append(names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Config.Gateways)) {
		if f.places(name, host) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// hostKey is the SSH key that the fleet pins for a host, "" for none.
func (f *Fleet) hostKey(host string) string {
	if h := f.Config.Hosts[host]; h != nil {
		return h.HostKey
	}
	return ""
}

// leafTTL is the life of a leaf, as the fleet wants it within what is sane.
func (f *Fleet) leafTTL() time.Duration {
	return min(max(f.Config.CA.LeafTTL.D(), trust.MinLeafTTL), trust.MaxLeafTTL)
}
