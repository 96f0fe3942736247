package deploy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/term"
)

// look finds what a person should know, the most important last. What is wrong
// with a host that was told of already is not told again.
func (s *MeshStatus) look(told ...string) {
	defer func() { typedAll(s.lab, s.Attention) }()
	for _, a := range s.Asked {
		if a.Error != "" {
			told = append(told, a.Host)
		}
	}
	s.lookAtSilent()
	if s.View == nil {
		return
	}
	s.lookAtEndpoints()
	s.lookAtHosts(told)
	s.compareAll()
	s.lookAtAgent()
}

// lookAtSilent looks at agents that did not answer.
func (s *MeshStatus) lookAtSilent() {
	var all byText
	next := map[string]string{}
	for _, a := range s.Asked {
		if a.Error != "" && all.add(a.Error, a.Host+s.gossipOf(a.Host)) {
			next[a.Error] = a.next
		}
	}
	for _, text := range all.texts {
		s.bad(next[text], "%s: %s", some(all.names[text]), text)
	}
}

// gossipOf is " (dead 7 s)" of a host whose agent did not answer, as the agent
// that is shown knows it.
func (s *MeshStatus) gossipOf(host string) string {
	if s.View == nil {
		return ""
	}
	for _, h := range s.View.Hosts {
		if h.Name == host {
			return fmt.Sprintf(" (%s)", strings.TrimSpace(h.Gossip+" "+span(s.View.Time, h.Since)))
		}
	}
	return ""
}

// bad asks for attention, and makes the status an unhealthy one.
func (s *MeshStatus) bad(command, format string, args ...any) {
	s.Unhealthy = true
	s.Attention = append(s.Attention, Next{Command: command, Why: fmt.Sprintf(format, args...)})
}

// lookAtAgent looks at what the agent that is shown says of itself.
func (s *MeshStatus) lookAtAgent() {
	v := s.View
	s.lookAtProblems()
	if v.Frozen {
		s.bad("", "%s sees fewer than half of the fleet, so it takes nobody out", v.Host)
	}
	if v.Stale {
		s.bad("", "%s has heard of no other host since its agent started %s: this is what it had on disk", v.Host, term.Ago(v.Time, v.Started))
	}
	if v.Document == nil {
		s.bad("nixmesh deploy", "%s has no mesh configuration yet", v.Host)
	}
}

// lookAtProblems looks at what each agent that answered says is wrong with it,
// and which document it refused.
func (s *MeshStatus) lookAtProblems() {
	var all byText
	next := map[string]string{}
	for _, v := range append(slices.Clone(s.others), s.View) {
		for _, p := range v.Problems {
			if all.add(p.What, v.Host) && p.Next != "" {
				next[p.What] = onHost(v.Host, p.Next)
			}
		}
		if o := v.Offered; o != nil {
			all.add(fmt.Sprintf("document %d (%s, from %s) is not acted on: %s", o.Version, shortHash(o.Hash), o.From, o.Reason), v.Host)
		}
	}
	for _, text := range all.texts {
		s.bad(next[text], "%s: %s", some(all.names[text]), text)
	}
}

// onHost is a command of an agent's advice as it is typed here: it means its own
// host, unless it is one of the operator's.
func onHost(host, command string) string {
	if strings.HasPrefix(command, "nixmesh ") {
		return command
	}
	return "nixmesh exec --on " + host + " -- " + command
}

// lookAtHosts looks at hosts that do not take part as they should.
func (s *MeshStatus) lookAtHosts(told []string) {
	v := s.View
	var behind, late []string
	for _, h := range v.Hosts {
		switch h.Gossip {
		case agentapi.GossipSelf, agentapi.GossipAlive:
			if h.Problem != "" {
				s.bad("", "%s: %s", h.Name, h.Problem)
			}
			switch {
			case v.Document != nil && !h.Applied:
				behind = append(behind, h.Name+" "+documentText(h, v.Document))
			case h.Envoy == agentapi.EnvoyRefuses:
				s.bad("nixmesh mesh status "+h.Name, "%s: its Envoy refuses a part of document %d", h.Name, v.Document.Version)
			case h.Envoy == agentapi.EnvoyAway:
				s.bad("nixmesh exec --on "+h.Name+" -- systemctl status "+hostfacts.EnvoyUnit, "%s: its Envoy is not connected to its agent: if it runs, it does as it was told last", h.Name)
			case h.Envoy == agentapi.EnvoyBehind:
				late = append(late, h.Name)
			}
		}
	}
	if len(late) > 0 {
		s.bad("nixmesh mesh watch", "agents have document %d, and their Envoys not yet: %s", v.Document.Version, some(late))
	}
	if len(behind) > 0 {
		s.bad("nixmesh mesh watch", "not on document %d: %s", v.Document.Version, some(behind))
	}
	s.lookAtAway(told)
}

// lookAtAway looks at hosts that take no part.
func (s *MeshStatus) lookAtAway(told []string) {
	var all byText
	first := map[string]string{}
	for _, state := range []string{agentapi.GossipUnknown, agentapi.GossipLeft, agentapi.GossipSuspect, agentapi.GossipDead} {
		for _, h := range s.View.Hosts {
			if h.Gossip != state {
				continue
			}
			if slices.Contains(told, h.Name) {
				continue // that it does not answer is said, and counted, already
			}
			s.Unhealthy = true
			text := h.Problem
			if text == "" {
				text = s.gossipMeaning(state)
			}
			if all.add(text, h.Name+s.gossipOf(h.Name)) {
				first[text] = h.Name
			}
		}
	}
	for _, text := range all.texts {
		s.bad("nixmesh status "+first[text], "%s: %s", some(all.names[text]), text)
	}
}

// gossipMeaning is a state of gossip in words.
func (s *MeshStatus) gossipMeaning(state string) string {
	switch state {
	case agentapi.GossipDead:
		return "nobody reaches its agent"
	case agentapi.GossipSuspect:
		return "its agent does not answer at the moment"
	case agentapi.GossipLeft:
		return "its agent was stopped"
	case agentapi.GossipUnknown:
		return "not heard of since " + s.Host + "'s agent started"
	}
	return state
}

// since is " (4 h)", or nothing.
func since(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " (" + term.Span(now.Sub(t)) + ")"
}

// some names a few and counts the rest.
func some(names []string) string {
	if len(names) <= namesShown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:namesShown], ", "), len(names)-namesShown)
}

// clockTolerance is what clocks may differ before it is said: beyond it agents
// refuse each other's overrides, and an answer takes a while itself.
const clockTolerance = 10 * time.Second

// aheadOf is "73 h ahead of", "12 s behind".
func aheadOf(d time.Duration) string {
	if d < 0 {
		return term.Span(-d) + " behind"
	}
	return term.Span(d) + " ahead of"
}

// byText gathers names under what is said of them, in the order in which it was
// said first: one sentence for what many hosts have in common.
type byText struct {
	texts []string
	names map[string][]string
}

// add says whether the text is new.
func (b *byText) add(text, name string) bool {
	if b.names == nil {
		b.names = map[string][]string{}
	}
	isNew := b.names[text] == nil
	if isNew {
		b.texts = append(b.texts, text)
	}
	b.names[text] = append(b.names[text], name)
	return isNew
}
