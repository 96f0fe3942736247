package deploy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/hostfacts"
)

// MeshResult is how a document came to the agents.
type MeshResult struct {
	Version int64         `json:"version"`
	Hash    string        `json:"hash"`
	Config  string        `json:"config"`
	Applied []string      `json:"applied"` // hosts whose agents act on it, and their Envoys
	Of      int           `json:"of"`      // hosts of the spec
	Missing []MeshMissing `json:"missing,omitempty"`
	Took    Seconds       `json:"seconds"`         // until the last of Applied
	Error   string        `json:"error,omitempty"` // it is not in force anywhere, or not for long
	Exit    Exit          `json:"exit"`

	err error
}

// MeshMissing is a host whose agent or Envoy does not act on a document, and why not.
type MeshMissing struct {
	Host  string `json:"host"`
	Error string `json:"error"`

	exit Exit
}

// end settles the exit code.
func (r *MeshResult) end(err error) {
	r.err = err
	var fork *ForkedError
	switch {
	case errors.As(err, &fork):
		r.Error, r.Exit = err.Error(), ExitRefused
	case err != nil && lost(err):
		r.Error, r.Exit = err.Error(), ExitUnreachable
	case err != nil:
		r.Error, r.Exit = err.Error(), ExitFailed
	default:
		for _, m := range r.Missing {
			r.Exit = Worst(r.Exit, m.exit)
		}
	}
}

// String is "applied on 4 of 5 agents in 0.6 s; db2: not reached".
func (r *MeshResult) String() string {
	text := fmt.Sprintf("applied on %d of %d agents in %.1f s", len(r.Applied), r.Of, float64(r.Took))
	for _, m := range r.Missing {
		text += "; " + m.Host + ": " + m.Error
	}
	return text
}

// missing says which hosts act on the document, and of the others why not.
func (r *MeshResult) missing(fleet []string, to publication, refusals map[string]error, u *uptake) {
	for _, h := range fleet {
		switch {
		case u.applied[h]:
			r.Applied = append(r.Applied, h)
		case u.envoys[h] != "":
			r.Missing = append(r.Missing, MeshMissing{Host: h, Error: envoyLags(h, u.envoys[h]), exit: ExitFailed})
		case refusals[h] != nil:
			r.Missing = append(r.Missing, MeshMissing{Host: h, Error: strings.TrimPrefix(plain(h, refusals[h]), h+" "), exit: exitOfAgent(refusals[h])})
		case slices.Contains(to.expected(), h):
			r.Missing = append(r.Missing, MeshMissing{Host: h, Error: "not yet", exit: ExitFailed})
		case slices.Contains(to.owed, h):
			r.Missing = append(r.Missing, MeshMissing{Host: h, Error: "no agent runs there", exit: ExitUnreachable})
		case !slices.Contains(to.none, h):
			r.Missing = append(r.Missing, MeshMissing{Host: h, Error: "not reached", exit: ExitUnreachable})
		}
	}
	r.Of = len(r.Applied) + len(r.Missing)
}

// envoyLags says why the Envoy of a host whose agent has a document does not act on it,
// and where there is more of it.
func envoyLags(host, state string) string {
	switch state {
	case agentapi.EnvoyRefuses:
		return "its agent has it, and its Envoy refuses a part (nixmesh mesh status " + host + ")"
	case agentapi.EnvoyAway:
		return "its agent has it, and its Envoy is not connected: if it runs, it does as it was told last (nixmesh exec --on " + host + " -- systemctl status " + hostfacts.EnvoyUnit + ")"
	case envoyUnknown:
		return "its agent took it, and nothing was heard of it since (nixmesh mesh status " + host + ")"
	}
	return "its agent has it, and its Envoy not yet"
}

// exitOfAgent is what an agent that did not take a document asks for.
func exitOfAgent(err error) Exit {
	if lost(err) {
		return ExitUnreachable
	}
	return ExitFailed
}
