package agentapi

import "time"

// ProxyStatus is this host's Envoy, as its agent knows it.
type ProxyStatus struct {
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"`   // of the connection
	Envoy     string    `json:"envoy,omitempty"`  // version that runs
	Wanted    string    `json:"wanted,omitempty"` // version of the host's facts; a switch does not restart what runs
	Listening bool      `json:"listening"`        // it acknowledged its listeners: what a gate asks for
	Settled   bool      `json:"settled"`          // it acknowledged everything
	Pending   int       `json:"pending,omitempty"`
	Warming   []string  `json:"warming,omitempty"` // names that it waits for

	// Built is the document that it was told of last, and Held why nothing was
	// told yet.
	Built int64  `json:"built,omitempty"`
	Held  string `json:"held,omitempty"`

	Refused  []ProxyRefused `json:"refused,omitempty"`  // by Envoy; what acted before stays
	Problems []ProxyProblem `json:"problems,omitempty"` // of what the agent computed

	Strangers    uint64 `json:"strangers,omitempty"`     // connections to Envoy's socket that were neither its nor root's
	LastStranger string `json:"last_stranger,omitempty"` // "uid 1000 (pid 4711)"
}

// ProxyRefused is a resource that Envoy refused.
type ProxyRefused struct {
	Type    string    `json:"type"` // "listener", "cluster", "route" …
	Name    string    `json:"name"`
	Version string    `json:"version"`            // hash of what was refused
	About   string    `json:"about,omitempty"`    // part of the mesh configuration: "web -> api"
	Text    string    `json:"text"`               // Envoy's words
	InForce string    `json:"in_force,omitempty"` // hash of what acts in its place, absent = nothing
	Retry   time.Time `json:"retry,omitzero"`     // when it is offered again, absent = when it changes
	Held    []string  `json:"held,omitempty"`     // names that are kept back since they need it
}

// Levels of a ProxyProblem.
const (
	ProxyWaiting = "waiting" // it comes by itself
	ProxyStandin = "standin" // something else is served in its place
	ProxyMissing = "missing" // it is left out
)

// ProxyProblem is something that the agent could not compute as it was asked to.
type ProxyProblem struct {
	About string    `json:"about,omitempty"`
	Text  string    `json:"text"`
	Level string    `json:"level"` // waiting, standin, missing
	Since time.Time `json:"since,omitzero"`
}
