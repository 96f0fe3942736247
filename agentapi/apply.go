package agentapi

import "time"

// Results of Applied.
const (
	ApplyInForce = "in-force" // the agent acts on it, now or already
	ApplyRefused = "refused"  // the document, the signature or its place in the chain is not right
	ApplyFork    = "fork"     // another document of the same parent won: In names it
)

// Applied is what became of a document that was put to an agent.
type Applied struct {
	Result string   `json:"result"` // in-force, refused, fork
	Reason string   `json:"reason,omitempty"`
	In     Document `json:"in,omitzero"` // the document in force now
}

// Kinds of Event.
const (
	EventHost     = "host"     // gossip state of a host changed
	EventService  = "service"  // an endpoint changed
	EventDocument = "document" // this agent acts on another document
	EventApplied  = "applied"  // a host acts on another document
	EventOverride = "override"
	EventCert     = "cert"    // a leaf came, or came into another level
	EventProblem  = "problem" // see Problem
	EventLost     = "lost"    // the client was too slow, and missed some
)

// Event is one change as `mesh watch` shows it.
type Event struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"` // host, service, document, applied, override, cert, problem, lost
	Host    string    `json:"host,omitempty"`
	Service string    `json:"service,omitempty"`
	Version string    `json:"version,omitempty"`
	State   string    `json:"state,omitempty"`  // that it has now, of its kind
	Detail  string    `json:"detail,omitempty"` // one line, for people
}

// Error is the body of an answer that is none: a status that is not 2xx.
type Error struct {
	Error string `json:"error"`
	Next  string `json:"next,omitempty"`
}

// Ready is the answer of PathReady when the agent is.
type Ready struct {
	Ready bool `json:"ready"`
}
