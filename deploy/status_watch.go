package deploy

import (
	"fmt"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/internal/term"
)

// Columns of a watch, whose rows are not known before.
const (
	subjectWidth = 12 // "api@v1", "cert worker"
	stateWidth   = 9  // "unhealthy"
)

// EventLine is a change as one line: when, where, what, its state, and more.
// width is that of the hosts' names.
func EventLine(e agentapi.Event, style term.Style, width int, wide bool) string {
	when := e.Time.Local().Format("15:04:05")
	if wide {
		when = e.Time.UTC().Format(time.RFC3339Nano)
	}
	host := e.Host
	if host == "" {
		host = "-"
	}
	line := fmt.Sprintf("%s  %s  %s", when, style.Bold(term.Pad(host, width)), term.Pad(eventSubject(e), subjectWidth))
	if state := eventState(e, style); state != "" {
		line += "  " + term.Pad(state, stateWidth)
	}
	if e.Detail != "" {
		line += "  " + e.Detail
	}
	return strings.TrimRight(line, " ")
}

// eventSubject is what changed.
func eventSubject(e agentapi.Event) string {
	switch e.Kind {
	case agentapi.EventService:
		return instance(e.Service, e.Version)
	case agentapi.EventHost:
		return "gossip"
	case agentapi.EventLost:
		return "changes are missing here"
	}
	if e.Service != "" {
		return e.Kind + " " + instance(e.Service, e.Version)
	}
	return e.Kind
}

func eventState(e agentapi.Event, style term.Style) string {
	switch e.Kind {
	case agentapi.EventHost:
		return gossipWord(e.State, style)
	case agentapi.EventDocument, agentapi.EventApplied:
		return "" // its version, which the detail has
	}
	switch e.State {
	case agentapi.EndpointHealthy:
		return style.Good(e.State)
	case agentapi.EndpointUnhealthy:
		return style.Bad(e.State)
	case agentapi.EndpointDegraded, agentapi.EndpointDraining:
		return style.Warn(e.State)
	}
	return e.State
}
