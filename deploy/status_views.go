package deploy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
)

// compareAll asks for attention where other agents see the mesh otherwise.
// Those that see the same are one line.
func (s *MeshStatus) compareAll() {
	var all byText
	for _, o := range s.others {
		if text := difference(s.View, o); text != "" {
			all.add(text, o.Host)
		}
	}
	for _, text := range all.texts {
		verb, hosts := "sees", all.names[text]
		if len(hosts) > 1 {
			verb = "see"
		}
		s.bad("nixmesh mesh status "+hosts[0], "%s %s it otherwise than %s: %s", some(hosts), verb, s.Host, text)
	}
}

// difference is how o sees the mesh, where v does otherwise; "" where they
// agree.
func difference(v, o *agentapi.Status) string {
	var other []string
	if a, b := documentName(v.Document, o.Document), documentName(o.Document, v.Document); a != b {
		other = append(other, fmt.Sprintf("%s in force, not %s", b, a))
	}
	more := fewer(aliveIn(o), aliveIn(v))
	switch {
	case len(fewer(aliveIn(v), aliveIn(o))) > 0:
		other = append(other, "only "+some(aliveIn(o))+" alive")
	case len(more) > 0:
		other = append(other, some(more)+" alive")
	default:
		if n := otherEndpoints(v, o); n > 0 {
			other = append(other, plural(n, "endpoint")+" in another state")
		}
	}
	if o.Stale {
		other = append(other, "nobody heard of since its start")
	}
	if o.Frozen {
		other = append(other, "fewer than half of the fleet, so nobody is taken out")
	}
	return strings.Join(other, "; ")
}

// documentName is "document 57", with the hash where the other one has the same
// version.
func documentName(d, other *agentapi.Document) string {
	switch {
	case d == nil:
		return "no document"
	case other != nil && d.Version == other.Version && d.Hash != other.Hash:
		return fmt.Sprintf("document %d (%s)", d.Version, shortHash(d.Hash))
	}
	return fmt.Sprintf("document %d", d.Version)
}

// aliveIn are the hosts that an agent reaches, itself included.
func aliveIn(v *agentapi.Status) []string {
	var names []string
	for _, h := range v.Hosts {
		if h.Gossip == agentapi.GossipSelf || h.Gossip == agentapi.GossipAlive {
			names = append(names, h.Name)
		}
	}
	return names
}

// fewer are those of a that b lacks.
func fewer(a, b []string) []string {
	var names []string
	for _, name := range a {
		if !slices.Contains(b, name) {
			names = append(names, name)
		}
	}
	return names
}

// otherEndpoints counts endpoints whose state two agents see differently.
func otherEndpoints(a, b *agentapi.Status) int {
	states := map[[3]string]string{}
	for _, svc := range b.Services {
		for _, e := range svc.Endpoints {
			states[[3]string{svc.Name, e.Version, e.Host}] = e.State
		}
	}
	n := 0
	for _, svc := range a.Services {
		for _, e := range svc.Endpoints {
			key := [3]string{svc.Name, e.Version, e.Host}
			if states[key] != e.State {
				n++
			}
			delete(states, key)
		}
	}
	return n + len(states)
}
