package deploy

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/term"
)

// WriteMeshCalls writes endpoints for people; wide adds zones, weights and what
// Envoy counted.
func WriteMeshCalls(w io.Writer, c *MeshCalls, style term.Style, wide bool) {
	calls, endpoints := 0, 0
	for _, h := range c.Hosts {
		calls += len(h.Calls)
		for _, call := range h.Calls {
			endpoints += len(call.Endpoints)
		}
	}
	fmt.Fprintf(w, "%s   %s to %s, as the callers' Envoys have them\n", style.Bold(c.Fleet), plural(calls, "call"), plural(endpoints, "endpoint"))
	t := &term.Table{Header: []string{"AT", "FROM", "TO", "HOST", "ADDRESS", "HEALTH", "ENVOY", "PRIORITY", "SINCE"}, Right: []bool{false, false, false, false, false, false, false, true}}
	if wide {
		t.Header = append(t.Header[:7:7], "PRIORITY", "WEIGHT", "ZONE", "OPEN", "CALLS", "ERRORS", "SINCE", "REASON")
		t.Right = append(t.Right, true, false, true, true, true)
	}
	for _, h := range c.Hosts {
		for _, call := range h.Calls {
			if len(call.Endpoints) == 0 {
				t.Add(style.Bold(h.Host), call.Caller, instance(call.Upstream, call.Version), "", "", style.Bad("nobody"))
			}
			for _, e := range call.Endpoints {
				t.Add(callRow(h, call, e, style, wide)...)
			}
		}
	}
	writeTable(w, t)
	WriteAttention(w, c.Attention)
}

func callRow(h *agentapi.Endpoints, call agentapi.Call, e agentapi.CalledEndpoint, style term.Style, wide bool) []string {
	row := []string{style.Bold(h.Host), call.Caller, instance(call.Upstream, e.Version), e.Host, e.Address, style.State(e.Health), envoyWord(h, call, e, style), fmt.Sprint(e.Priority)}
	if !wide {
		return append(row, sinceText(h.Time, e.Since))
	}
	open, calls, errors := "", "", ""
	if e.Envoy != nil {
		open, calls, errors = fmt.Sprint(e.Envoy.Connections), fmt.Sprint(e.Envoy.Requests), fmt.Sprint(e.Envoy.Errors+e.Envoy.Failed)
	}
	return append(row, fmt.Sprint(e.Weight), e.Zone, open, calls, errors, stamp(e.Since), e.Reason)
}

// envoyWord is what Envoy says of an endpoint: that it is as it was told, or what
// else.
func envoyWord(h *agentapi.Endpoints, call agentapi.Call, e agentapi.CalledEndpoint, style term.Style) string {
	switch {
	case h.Error != "":
		return style.Warn("unknown")
	case e.Envoy == nil:
		return style.Warn("not there yet")
	case len(e.Envoy.Flags) > 0:
		return style.Bad(strings.Join(e.Envoy.Flags, " "))
	case e.Envoy.Health != e.Health:
		return style.Warn(e.Envoy.Health)
	case !call.Acked:
		return style.Warn("not acknowledged")
	}
	return style.Good("same")
}

// sinceText is how long something is so, "" where nobody knows.
func sinceText(now, since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return term.Span(now.Sub(since))
}
