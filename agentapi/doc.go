// Package agentapi is the local API of a host's agent: what it answers, and a
// client over any connection to its Unix socket. The agent (controlplane/api)
// serves it, the command line asks it over SSH; both import this package, which
// uses the standard library only.
//
// It is HTTP/1.1 with JSON bodies. Fields are added, never renamed; a reader
// passes over those that it does not know.
package agentapi

// Socket is where the agent listens.
const Socket = "/run/nixmesh/api.sock"

// Paths of the API.
const (
	PathStatus    = "/v1/status"    // GET: Status
	PathCerts     = "/v1/certs"     // GET: Certs
	PathWatch     = "/v1/watch"     // GET: Event lines, until the client leaves
	PathDocument  = "/v1/document"  // GET: the document in force; ?config=HASH: a kept one; PUT: a signed document, answered by Applied
	PathOverride  = "/v1/override"  // PUT: a signed override
	PathAuthority = "/v1/authority" // GET: AuthorityRequest; PUT: an intermediate in PEM
	PathEndpoints = "/v1/endpoints" // GET: Endpoints
	PathDump      = "/v1/dump"      // GET: Dump; ?part=PART: one of DumpParts
	PathDrain     = "/v1/drain"     // PUT: begin to drain this host, answered by Drain; GET: Drain
	PathGate      = "/ready/envoy"  // GET: 200 when a switch may be kept as far as Envoy goes, else 503 with why, as text
	PathMetrics   = "/metrics"      // GET: Prometheus text
	PathReady     = "/ready"        // GET: 200 when the agent serves from a configuration, else 503 with why
)

// MaxBody bounds a request's body, in bytes.
const MaxBody = 20 << 20
