package deploy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/term"
)

// endpointsShown is how many endpoints are named as unhealthy before the rest is
// only counted.
const endpointsShown = 8

// lookAtEndpoints looks at endpoints that callers should not use. What is on a
// host that is away is not told again: the host is.
func (s *MeshStatus) lookAtEndpoints() {
	away := map[string]bool{}
	for _, h := range s.View.Hosts {
		away[h.Name] = h.Gossip != agentapi.GossipSelf && h.Gossip != agentapi.GossipAlive
	}
	n := 0
	for _, svc := range s.View.Services {
		missing := svc.Total
		for _, e := range svc.Endpoints {
			missing -= e.Copies
			if e.State == agentapi.EndpointHealthy && !e.Flapping || e.State == agentapi.EndpointDraining || away[e.Host] {
				continue
			}
			if n++; n > endpointsShown {
				s.Unhealthy = true
				continue
			}
			s.bad("nixmesh status "+e.Host, "%s on %s: %s", instance(svc.Name, e.Version), e.Host, endpointText(e, s.View))
		}
		if missing > 0 {
			s.bad("", "%s: %s announced by no host", svc.Name, copies(missing))
		}
	}
	if n > endpointsShown {
		s.bad("nixmesh mesh status -o wide", "%d more endpoints are not healthy", n-endpointsShown)
	}
}

// copies is "1 copy", "3 copies".
func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", n)
}

// instance is "api@v1", or "api" without versions.
func instance(service, version string) string {
	if version == "" {
		return service
	}
	return service + "@" + version
}

// endpointText is why an endpoint is not well, and for how long.
func endpointText(e agentapi.Endpoint, v *agentapi.Status) string {
	text := e.State
	if e.Flapping {
		text += ", flapping"
	}
	if e.Copies > 1 {
		text += fmt.Sprintf(" %d/%d", e.Ready, e.Copies)
	}
	text += since(v.Time, e.Since)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// serviceTable is the services of a view.
func serviceTable(all []agentapi.Service, style term.Style) *term.Table {
	t := &term.Table{Header: []string{"SERVICE", "READY", "VERSIONS", "STATE"}}
	for _, svc := range all {
		t.Add(style.Bold(svc.Name), fmt.Sprintf("%d/%d", svc.Ready, svc.Total), strings.Join(endpointVersions(svc), ", "), serviceState(svc, style))
	}
	return t
}

// endpointVersions are "v1 2/2", "v2 0/1" of a service that has versions.
func endpointVersions(svc agentapi.Service) []string {
	type count struct{ ready, copies int }
	counts := map[string]count{}
	var names []string
	for _, e := range svc.Endpoints {
		if e.Version == "" {
			continue
		}
		if !slices.Contains(names, e.Version) {
			names = append(names, e.Version)
		}
		c := counts[e.Version]
		counts[e.Version] = count{c.ready + e.Ready, c.copies + e.Copies}
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d/%d", name, counts[name].ready, counts[name].copies)
	}
	return names
}

// lastHeard is the state of an endpoint whose host is away, as far as an agent can
// tell that sees few of the fleet.
const lastHeard = "healthy when last heard of"

// serviceState is the worst that is to be said of a service, in a few words:
// the sentences are under Attention.
func serviceState(svc agentapi.Service, style term.Style) string {
	words := map[string][]string{}
	announced := 0
	for _, e := range svc.Endpoints {
		announced += e.Copies
		state := e.State
		switch {
		case e.Standing == agentapi.StandingDown:
			state = "down"
		case e.Flapping:
			state = "flapping"
		case e.Standing == agentapi.StandingFrozen && state == agentapi.EndpointHealthy:
			state = lastHeard
		}
		if state != agentapi.EndpointHealthy {
			words[state] = append(words[state], e.Host)
		}
	}
	var parts []string
	for _, state := range []string{agentapi.EndpointUnhealthy, "down", "flapping", agentapi.EndpointDegraded, agentapi.EndpointDraining, lastHeard} {
		if on := words[state]; len(on) > 0 {
			slices.Sort(on)
			parts = append(parts, state+" on "+some(slices.Compact(on)))
		}
	}
	if announced < svc.Total {
		parts = append(parts, copies(svc.Total-announced)+" missing")
	}
	switch {
	case svc.Total == 0:
		return style.Dim("on no host")
	case len(parts) == 0:
		return style.Good("healthy")
	case svc.Ready == 0:
		return style.Bad(strings.Join(parts, "; "))
	}
	return style.Warn(strings.Join(parts, "; "))
}

// servicesOn names what runs on a host; what is not well says so.
func servicesOn(v *agentapi.Status, host string, style term.Style) []string {
	var names []string
	for _, svc := range v.Services {
		for _, e := range svc.Endpoints {
			if e.Host != host {
				continue
			}
			name := instance(svc.Name, e.Version)
			switch {
			case e.State == agentapi.EndpointUnhealthy:
				name = style.Bad(name + "(" + e.State + ")")
			case e.State != agentapi.EndpointHealthy:
				name = style.Warn(name + "(" + e.State + ")")
			case e.Ready < e.Copies:
				name = style.Warn(fmt.Sprintf("%s(%d/%d)", name, e.Ready, e.Copies))
			}
			names = append(names, name)
		}
	}
	return names
}
