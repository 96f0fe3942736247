package agentapi

import (
	"encoding/json"
	"time"
)

// EndpointsSchema is the value of Endpoints.Schema.
const EndpointsSchema = "nixmesh.endpoints/1"

// Endpoints are whom this host's callers reach: what the agent told Envoy, and
// what Envoy says of it.
type Endpoints struct {
	Schema string    `json:"schema"`
	Host   string    `json:"host"`
	Time   time.Time `json:"time"`
	Calls  []Call    `json:"calls"`           // by caller, upstream, version
	Error  string    `json:"error,omitempty"` // why Envoy's own words are missing
}

// Call is one edge of a caller on this host, to one version of the upstream where
// each has a share of its own.
type Call struct {
	Caller    string           `json:"caller"`
	Upstream  string           `json:"upstream"`          // service, or service:listen
	Version   string           `json:"version,omitempty"` // absent = all
	Acked     bool             `json:"acked"`             // Envoy acknowledged these endpoints
	Endpoints []CalledEndpoint `json:"endpoints"`         // by priority, version, host
}

// CalledEndpoint is one endpoint as a caller has it.
type CalledEndpoint struct {
	Host     string    `json:"host,omitempty"` // absent = it has an address that no host has
	Version  string    `json:"version,omitempty"`
	Address  string    `json:"address"`
	Zone     string    `json:"zone,omitempty"`
	Health   string    `json:"health"`   // what Envoy was told: healthy, degraded, draining, unhealthy
	Priority int       `json:"priority"` // 0 is asked first
	Weight   int       `json:"weight"`
	Since    time.Time `json:"since,omitzero"`
	Reason   string    `json:"reason,omitempty"` // why it is not healthy

	// What Envoy says, absent where it does not have the endpoint.
	Envoy *EnvoyEndpoint `json:"envoy,omitempty"`
}

// EnvoyEndpoint is what Envoy says of an endpoint. Counts are since it has it.
type EnvoyEndpoint struct {
	Health      string   `json:"health"`          // as EDS has it: healthy, degraded, draining, unhealthy
	Flags       []string `json:"flags,omitempty"` // what else stands against it: "failed_outlier_check"
	Active      int64    `json:"active"`          // requests, or connections where they are the calls
	Connections int64    `json:"connections"`     // open
	Requests    int64    `json:"requests"`
	Errors      int64    `json:"errors"`
	Failed      int64    `json:"failed_connects"`
}

// DumpEnvoy is the part of a dump that is what Envoy says that it has. The others
// are the resources of a type, as the agent has them.
const DumpEnvoy = "envoy"

// DumpParts are what a dump may be asked for.
func DumpParts() []string {
	return []string{"secrets", "clusters", "endpoints", "listeners", "routes", "extensions", DumpEnvoy}
}

// DumpSchema is the value of Dump.Schema.
const DumpSchema = "nixmesh.dump/1"

// Dump is what this host's Envoy is told, without keys.
type Dump struct {
	Schema    string          `json:"schema"`
	Host      string          `json:"host"`
	Time      time.Time       `json:"time"`
	Document  int64           `json:"document,omitempty"` // version that it was built from
	Resources []DumpResource  `json:"resources,omitempty"`
	Envoy     json.RawMessage `json:"envoy,omitempty"` // Envoy's own dump
}

// DumpResource is one resource.
type DumpResource struct {
	Type    string          `json:"type"`
	Name    string          `json:"name"`
	Version string          `json:"version"`         // hash
	Acked   string          `json:"acked,omitempty"` // version that Envoy acknowledged
	About   string          `json:"about,omitempty"` // part of the mesh configuration: "web -> api"
	Content json.RawMessage `json:"content"`         // in Envoy's words
}
