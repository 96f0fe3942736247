package api

import (
	"net/http"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
)

// route is one thing that can be asked of the agent, and its line of the
// documentation.
type route struct {
	method string
	path   string
	most   int64  // bytes of the body, 0 = it takes none
	takes  string // what the body is
	gives  string // what the answer is
	doc    string
	serve  func(*Server, http.ResponseWriter, *http.Request) error
}

// Bounds of bodies besides agentapi.MaxBody, in bytes.
const (
	maxOverride  = 64 << 10
	maxAuthority = 256 << 10
)

// routes is the table of the API.
func routes() []route {
	return []route{
		{http.MethodGet, agentapi.PathStatus, 0, "", "Status", "the fleet as this agent sees it", (*Server).status},
		{http.MethodGet, agentapi.PathCerts, 0, "", "Certs", "the certificates that this agent holds", (*Server).certs},
		{http.MethodGet, agentapi.PathWatch, 0, "", "Event", "one JSON object a line for each change, until the client leaves; an empty line now and then says that the agent is there", (*Server).watch},
		{http.MethodGet, agentapi.PathDocument, 0, "", "document", "the signed mesh configuration in force; `?config=HASH` is one that is kept, by the hash of its configuration", (*Server).document},
		{http.MethodPut, agentapi.PathDocument, agentapi.MaxBody, "document", "Applied", "puts a signed mesh configuration to the agent", (*Server).apply},
		{http.MethodPut, agentapi.PathOverride, maxOverride, "override", "", "puts a signed override to the agent", (*Server).override},
		{http.MethodGet, agentapi.PathAuthority, 0, "", "AuthorityRequest", "the request for this host's next intermediate certificate; 404 on a host that is no authority", (*Server).authorityRequest},
		{http.MethodPut, agentapi.PathAuthority, maxAuthority, "PEM", "", "gives the authority its intermediate certificate", (*Server).installAuthority},
		{http.MethodGet, agentapi.PathEndpoints, 0, "", "Endpoints", "whom this host's callers reach, as Envoy was told, and what Envoy says of it", (*Server).endpoints},
		{http.MethodGet, agentapi.PathDump, 0, "", "Dump", "what this host's Envoy is told, without keys; `?part=PART` is one of `" + strings.Join(agentapi.DumpParts(), "`, `") + "`, which is what Envoy itself says that it has; where it ends early, the trailer `" + agentapi.TrailerError + "` says why", (*Server).dump},
		{http.MethodPut, agentapi.PathDrain, 0, "", "Drain", "sends the callers of this host's services elsewhere, for a restart of its Envoy, which ends that; answers when they know and requests have ended", (*Server).beginDrain},
		{http.MethodGet, agentapi.PathDrain, 0, "", "Drain", "the drain that is under way, or the last one", (*Server).drain},
		{http.MethodGet, agentapi.PathGate, 0, "", "text", "200 when Envoy listens as it was told, or there is nothing to tell it yet, else 503 with the reason: what a switch asks before it is kept", (*Server).gate},
		{http.MethodGet, agentapi.PathMetrics, 0, "", "text", "metrics for Prometheus: [metrics](metrics.md)", (*Server).metrics},
		{http.MethodGet, agentapi.PathReady, 0, "", "", "200 when the agent serves from a mesh configuration and its Envoy, if the host has one, listens as it was told, else 503 with the reason", (*Server).ready},
	}
}

// only are the routes that match.
func only(all []route, match func(route) bool) []route {
	var some []route
	for _, r := range all {
		if match(r) {
			some = append(some, r)
		}
	}
	return some
}
