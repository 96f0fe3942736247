package agentapi

import "time"

// StatusSchema is the value of Status.Schema.
const StatusSchema = "nixmesh.agent/1"

// Status is the fleet as one agent sees it.
type Status struct {
	Schema  string    `json:"schema"`
	Host    string    `json:"host"` // whose agent answers
	Fleet   string    `json:"fleet"`
	Version string    `json:"version"` // of nixmesh
	Time    time.Time `json:"time"`    // the host's clock
	Started time.Time `json:"started"`

	// Document is the mesh configuration that this agent acts on, nil before it
	// has one. Offered is one that it knows of and does not act on, and why.
	Document *Document `json:"document,omitempty"`
	Offered  *Offered  `json:"offered,omitempty"`
	// Stale says that no other host was heard of since the start though the
	// fleet has others: what is shown is what was on disk.
	Stale bool `json:"stale,omitempty"`
	// Frozen says that the minority guard holds: this agent sees fewer than half
	// of the fleet, and takes nobody out.
	Frozen bool `json:"frozen,omitempty"`

	Hosts     []Host     `json:"hosts"`    // by name, this one included
	Services  []Service  `json:"services"` // by name
	Pending   []Pending  `json:"pending,omitempty"`
	Overrides []Override `json:"overrides,omitempty"`
	Problems  []Problem  `json:"problems,omitempty"` // of this host's agent

	Proxy *ProxyStatus `json:"proxy,omitempty"` // this host's Envoy, nil where the facts name none
	Guard *GuardStatus `json:"guard,omitempty"` // nil where there is none
}

// Document names a mesh configuration.
type Document struct {
	Version  int64     `json:"version"`
	Hash     string    `json:"hash"`               // of the document
	Config   string    `json:"config,omitempty"`   // hash of the configuration in it
	Operator string    `json:"operator,omitempty"` // who signed it
	Release  int64     `json:"release,omitempty"`
	Since    time.Time `json:"since,omitzero"` // when this agent began to act on it
}

// Offered is a document that is not acted on.
type Offered struct {
	Version int64  `json:"version"`
	Hash    string `json:"hash"`
	From    string `json:"from"` // host, or "local"
	Reason  string `json:"reason"`
}

// States of Host.Gossip.
const (
	GossipSelf    = "self"
	GossipAlive   = "alive"
	GossipSuspect = "suspect"
	GossipDead    = "dead"
	GossipLeft    = "left"
	GossipUnknown = "unknown" // never heard since this agent's start
)

// Host is one host of the mesh configuration.
type Host struct {
	Name    string    `json:"name"`
	Address string    `json:"address"`
	Zone    string    `json:"zone,omitempty"`
	Gossip  string    `json:"gossip"`           // self, alive, suspect, dead, left, unknown
	Since   time.Time `json:"since,omitzero"`   // of the gossip state
	RTT     float64   `json:"rtt_ms,omitempty"` // to it and back

	Agent     string    `json:"agent,omitempty"`     // version of its nixmesh
	Protocols [2]int    `json:"protocols,omitempty"` // lowest and highest between agents
	Document  *Document `json:"document,omitempty"`  // that it acts on: version and hash only
	Applied   bool      `json:"applied"`             // its agent acts on the document of Status
	Envoy     string    `json:"envoy,omitempty"`     // how far its Envoy is with Document: acts, behind, refuses, away; "" = it has none
	Draining  bool      `json:"draining,omitempty"`
	System    string    `json:"system,omitempty"`  // name of the toplevel that it runs
	Records   int       `json:"records,omitempty"` // of the catalog, of this host
	Problem   string    `json:"problem,omitempty"` // why its records are not all known, or not taken; one line
}

// States of a host's Envoy.
const (
	EnvoyActs    = "acts"    // on the document of the agent
	EnvoyBehind  = "behind"  // it has not taken it yet
	EnvoyRefuses = "refuses" // a part of it, or nothing could be built
	EnvoyAway    = "away"    // it does not run, or does as it was told last
)

// States of endpoints, as callers should take them.
const (
	EndpointHealthy   = "healthy"
	EndpointDegraded  = "degraded"
	EndpointDraining  = "draining"
	EndpointUnhealthy = "unhealthy"
)

// Standings of an endpoint's host.
const (
	StandingUp       = "up"
	StandingFrozen   = "frozen"   // it is away, and the minority guard keeps it
	StandingDoubtful = "doubtful" // suspected, or away for a moment
	StandingDown     = "down"
)

// Service is one service of the mesh configuration.
type Service struct {
	Name      string     `json:"name"`
	Ready     int        `json:"ready"` // copies that are healthy and take calls
	Total     int        `json:"total"` // copies that the hosts announce, and those that are still missing
	Endpoints []Endpoint `json:"endpoints"`
}

// Endpoint is one version of a service on one host.
type Endpoint struct {
	Version  string    `json:"version,omitempty"`
	Host     string    `json:"host"`
	Address  string    `json:"address"`  // host:port of the mTLS listener
	State    string    `json:"state"`    // healthy, degraded, draining, unhealthy: as callers take it
	Standing string    `json:"standing"` // of the host: up, frozen, doubtful, down
	Ready    int       `json:"ready"`
	Copies   int       `json:"copies"`
	Flapping bool      `json:"flapping,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Reason   string    `json:"reason,omitempty"` // why it is not healthy
}

// Pending is what only one of two says: the mesh configuration and the host.
type Pending struct {
	Host    string `json:"host"`
	Service string `json:"service"`
	Version string `json:"version,omitempty"`
	Why     string `json:"why"` // which of the two says it; one line
}

// Override is a signed change on top of the mesh configuration.
type Override struct {
	Subject string  `json:"subject"` // what it is about: a host, a service
	Kind    string  `json:"kind"`
	By      string  `json:"by"`               // operator or host that signed it
	Left    float64 `json:"left_s,omitempty"` // 0 = until something else is written
	Value   string  `json:"value,omitempty"`
}

// Problem is something that a person should know of this agent.
type Problem struct {
	What  string    `json:"what"` // one line
	Since time.Time `json:"since,omitzero"`
	Next  string    `json:"next,omitempty"` // a command, if one helps
}
