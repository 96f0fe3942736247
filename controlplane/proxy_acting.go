package controlplane

import (
	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/controlplane/catalog"
)

// acting is how far Envoy is with a document, for the others to know: that an agent
// has a document says nothing of the calls.
type acting struct {
	document string // its hash
	envoy    catalog.Envoy
}

// seeActing looks at how far Envoy is. It is called where Envoy said something, where
// something was built for it, and each second.
func (p *proxy) seeActing() {
	live := p.agent.documents.live.Load()
	if live == nil || p.envoy() == nil || p.door == nil {
		return
	}
	s := p.server.Status()
	p.mu.Lock()
	now := acting{document: live.link.Hash, envoy: catalog.EnvoyBehind}
	built := p.built != nil && p.built.link.Hash == live.link.Hash
	switch {
	case !s.Connected && !p.lost.IsZero() && p.agent.opts.Clock.Now().Sub(p.lost) >= awayTime:
		now.envoy = catalog.EnvoyAway
	case p.held != "", !built && p.tried != live.link.Hash:
	case !built, s.Connected && len(s.Refused) > 0:
		now.envoy = catalog.EnvoyRefuses
	case s.Connected && s.Settled:
		now.envoy = catalog.EnvoyActs
	case p.acting == (acting{live.link.Hash, catalog.EnvoyActs}):
		now.envoy = catalog.EnvoyActs // endpoints come and go
	}
	news := p.acting != now
	p.acting = now
	p.mu.Unlock()
	if news {
		p.agent.poke()
	}
}

// actsOn is how far Envoy is with a document.
func (p *proxy) actsOn(document *inForce) catalog.Envoy {
	if p.envoy() == nil || p.door == nil || document == nil {
		return catalog.EnvoyNone
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.acting.document != document.link.Hash {
		return catalog.EnvoyBehind
	}
	return p.acting.envoy
}

// envoyWord is a state as the API has it.
func envoyWord(e catalog.Envoy) string {
	switch e {
	case catalog.EnvoyNone:
		return ""
	case catalog.EnvoyActs:
		return agentapi.EnvoyActs
	case catalog.EnvoyRefuses:
		return agentapi.EnvoyRefuses
	case catalog.EnvoyAway:
		return agentapi.EnvoyAway
	default:
		return agentapi.EnvoyBehind
	}
}
