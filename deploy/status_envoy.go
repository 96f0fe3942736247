package deploy

import (
	"fmt"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/term"
)

// proxies are the Envoys of the hosts whose agents were asked.
func (s *MeshStatus) proxies() map[string]*agentapi.ProxyStatus {
	proxies := map[string]*agentapi.ProxyStatus{}
	for _, v := range append([]*agentapi.Status{s.View}, s.others...) {
		if v != nil && v.Proxy != nil {
			proxies[v.Host] = v.Proxy
		}
	}
	return proxies
}

// envoyState is how far an Envoy is with what its agent tells it, "" where nobody
// was asked.
func envoyState(p *agentapi.ProxyStatus, style term.Style, wide bool) string {
	if p == nil {
		return ""
	}
	text := ""
	switch {
	case !p.Connected:
		return style.Bad("not connected")
	case len(p.Refused) > 0:
		text = style.Bad(fmt.Sprintf("refuses %d", len(p.Refused)))
	case p.Held != "":
		text = style.Warn("waits")
	case !p.Listening:
		text = style.Warn("starting")
	case !p.Settled:
		text = style.Warn(fmt.Sprintf("%d to come", p.Pending))
	default:
		text = style.Good("settled")
	}
	if wide {
		text += " " + p.Envoy
		if p.Wanted != "" && p.Wanted != p.Envoy {
			text += " (wants " + p.Wanted + ")"
		}
	}
	return text
}
