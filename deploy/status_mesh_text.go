package deploy

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/term"
)

// WriteMeshStatus writes the mesh for people; wide adds addresses, hashes,
// times and each endpoint.
func WriteMeshStatus(w io.Writer, s *MeshStatus, style term.Style, wide bool) {
	if v := s.View; v == nil {
		fmt.Fprintf(w, "%s   no agent answers, of %s asked\n", style.Bold(s.Fleet), plural(len(s.Asked), "host"))
	} else {
		fmt.Fprintf(w, "%s   %s\n", style.Bold(s.Fleet), s.headline())
		writeTable(w, meshHosts(v, s.proxies(), style, wide))
		if wide {
			writeTable(w, meshEndpoints(v, style))
		} else {
			writeTable(w, serviceTable(v.Services, style))
		}
		writeGuards(w, s.Guards)
		writePending(w, v)
		writeOverrides(w, v)
	}
	WriteAttention(w, s.Attention)
}

// headline says what is in force, on how many hosts, and who says so.
func (s *MeshStatus) headline() string {
	v := s.View
	ready := 0
	for _, svc := range v.Services {
		if svc.Ready == svc.Total {
			ready++
		}
	}
	as := "as " + s.Host + " sees it"
	if v.Stale {
		as = "as " + s.Host + " had it on disk"
	}
	if v.Document == nil {
		return "no mesh configuration yet   " + as
	}
	return fmt.Sprintf("%s   services %d/%d ready   %s", documentLine(v), ready, len(v.Services), as)
}

// onDisk tells a document that came from one that was on the agent's disk when it
// started: of that it does not know since when it holds.
const onDisk = 2 * time.Second

// documentLine is "document 57 on 5 of 5 hosts, 2 min ago by anna".
func documentLine(v *agentapi.Status) string {
	d := v.Document
	text := fmt.Sprintf("document %d", d.Version)
	if d.Release > 0 {
		text += fmt.Sprintf(" (release %d)", d.Release)
	}
	text += fmt.Sprintf(" on %d of %s", acting(v), plural(len(v.Hosts), "host"))
	if d.Since.Sub(v.Started) > onDisk {
		text += ", " + term.Ago(v.Time, d.Since)
	}
	if d.Operator != "" {
		text += " by " + d.Operator
	}
	return text
}

// meshHosts is the table of hosts. Their services are those that the document
// has and the hosts announce; of Envoys is known what the agents that were asked
// say of their own.
func meshHosts(v *agentapi.Status, proxies map[string]*agentapi.ProxyStatus, style term.Style, wide bool) *term.Table {
	t := &term.Table{Header: []string{"HOST", "GOSSIP", "FOR", "AGENT", "DOCUMENT", "SERVICES"}, Right: []bool{false, false, true, false, true, false}}
	if wide {
		t.Header = []string{"HOST", "ADDRESS", "ZONE", "GOSSIP", "SINCE", "RTT", "AGENT", "PROTOCOLS", "DOCUMENT", "HASH", "RECORDS", "SYSTEM", "SERVICES"}
		t.Right = []bool{false, false, false, false, false, true, false, false, true, false, true}
	}
	if len(proxies) > 0 {
		t.Header = append(t.Header, "ENVOY")
	}
	for _, h := range v.Hosts {
		if h.Gossip == agentapi.GossipSelf {
			h.Since = v.Started
		}
		document := documentText(h, v.Document)
		if v.Document != nil && !h.Applied && h.Document != nil {
			document = style.Warn(document)
		}
		services := strings.Join(servicesOn(v, h.Name, style), "  ")
		if h.Draining {
			services = strings.TrimSpace("(draining)  " + services)
		}
		if !wide {
			t.Add(style.Bold(h.Name), gossipWord(h.Gossip, style), span(v.Time, h.Since), h.Agent, document, services, envoyState(proxies[h.Name], style, wide))
			continue
		}
		hash, rtt, protocols, records := "", "", "", ""
		if h.Document != nil {
			hash = shortHash(h.Document.Hash)
		}
		if h.RTT > 0 {
			rtt = fmt.Sprintf("%.1f ms", h.RTT)
		}
		if h.Protocols[1] > 0 {
			protocols = fmt.Sprintf("%d-%d", h.Protocols[0], h.Protocols[1])
		}
		if h.Records > 0 {
			records = fmt.Sprint(h.Records)
		}
		t.Add(style.Bold(h.Name), h.Address, h.Zone, gossipWord(h.Gossip, style), stamp(h.Since), rtt, h.Agent, protocols, document, hash, records, h.System, services, envoyState(proxies[h.Name], style, wide))
	}
	return t
}

// gossipWord colours a state of gossip.
func gossipWord(state string, style term.Style) string {
	switch state {
	case agentapi.GossipSelf, agentapi.GossipAlive:
		return style.Good(state)
	case agentapi.GossipDead:
		return style.Bad(state)
	}
	return style.Warn(state)
}

// meshEndpoints is the table of all endpoints.
func meshEndpoints(v *agentapi.Status, style term.Style) *term.Table {
	t := &term.Table{Header: []string{"SERVICE", "VERSION", "HOST", "ADDRESS", "STATE", "STANDING", "READY", "SINCE", "REASON"}}
	for _, svc := range v.Services {
		if len(svc.Endpoints) == 0 {
			t.Add(style.Bold(svc.Name), "", "", "", "", "", fmt.Sprintf("0/%d", svc.Total))
		}
		for _, e := range svc.Endpoints {
			state := e.State
			if e.Flapping {
				state += " (flapping)"
			}
			t.Add(style.Bold(svc.Name), e.Version, e.Host, e.Address, style.State(state), e.Standing, fmt.Sprintf("%d/%d", e.Ready, e.Copies), stamp(e.Since), e.Reason)
		}
	}
	return t
}

func writePending(w io.Writer, v *agentapi.Status) {
	if len(v.Pending) == 0 {
		return
	}
	fmt.Fprintln(w, "\nPending: the document and a host do not agree yet")
	t := term.Table{}
	for _, p := range v.Pending {
		t.Add(p.Host, instance(p.Service, p.Version), p.Why)
	}
	writeIndented(w, &t)
}

func writeOverrides(w io.Writer, v *agentapi.Status) {
	if len(v.Overrides) == 0 {
		return
	}
	fmt.Fprintln(w, "\nOverrides")
	t := term.Table{}
	for _, o := range v.Overrides {
		left := "until something else is written"
		if o.Left > 0 {
			left = "ends in " + term.Span(time.Duration(o.Left*float64(time.Second)))
		}
		t.Add(o.Subject, strings.TrimSpace(o.Kind+" "+o.Value), "by "+o.By, left)
	}
	writeIndented(w, &t)
}

// writeIndented writes a table below its title.
func writeIndented(w io.Writer, t *term.Table) {
	for _, line := range t.Lines() {
		fmt.Fprintln(w, "  "+line)
	}
}

// writeTable writes a table with an empty line before it, if it has rows.
func writeTable(w io.Writer, t *term.Table) {
	if t.Len() > 0 {
		fmt.Fprintln(w)
		_ = t.Write(w) // a failing write of stdout has nobody to be told to
	}
}

// WriteAttention writes what a person should look at, each with the command for
// it.
func WriteAttention(w io.Writer, attention []Next) {
	if len(attention) == 0 {
		return
	}
	fmt.Fprintln(w, "\nAttention")
	for _, a := range attention {
		if a.Command == "" {
			fmt.Fprintf(w, "  %s\n", a.Why)
		} else {
			fmt.Fprintf(w, "  %s\n    %s\n", a.Why, a.Command)
		}
	}
}

// span is how long ago t was, "" for none.
func span(now, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return term.Span(now.Sub(t))
}

// stamp is a time for wide tables.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
