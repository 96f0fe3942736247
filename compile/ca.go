package compile

import (
	"github.com/nixmesh/nixmesh/spec"
)

// CA is what a fleet with a mesh has beside its spec: where its certificates
// come from, and the key of its agents' gossip. Without one no host has an
// agent.
type CA struct {
	Roots  string // the public roots in PEM, one or two
	Gossip string // age file of the gossip key, below the fleet's folder

	// Fingerprint and Authorities are those of a CA that is not the lock's, as
	// in the lab; "" and nil stand for the lock's.
	Fingerprint string
	Authorities []string
}

// of is the fingerprint of the CA's root and the hosts that issue certificates.
func (ca *CA) of(l *spec.Lock) (fingerprint string, authorities []string) {
	fingerprint, authorities = l.CA(), l.Authorities()
	if ca != nil && ca.Fingerprint != "" {
		fingerprint = ca.Fingerprint
	}
	if ca != nil && ca.Authorities != nil {
		authorities = ca.Authorities
	}
	return fingerprint, authorities
}

// agent is the host's part of the mesh: its agent, if the fleet has a CA.
func (c *hostCompiler) agent() attrs {
	ca := c.options.CA
	if ca == nil {
		return nil
	}
	return attrs{bind("agent", attrs{
		bind("enable", raw("true")),
		bind("roots", str(ca.Roots)),
		bind("gossipKey", raw(fleetFile(ca.Gossip))),
	})}
}
