package deploy

import "time"

// End is how a host came out of an operation.
type End string

// The ends of a host.
const (
	EndDeployed      End = "deployed"
	EndUnchanged     End = "unchanged"
	EndRolledBack    End = "rolled back"    // its own doing, or asked before the commit
	EndReverted      End = "reverted"       // committed, then brought back by on_fail
	EndTested        End = "tested"         // deploy --test: switched, then reverted
	EndFailed        End = "failed"         // nothing was switched
	EndRefused       End = "refused"        // the host or the plan said no; nothing was switched
	EndNotStarted    End = "not started"    //
	EndUnreachable   End = "unreachable"    // before anything was switched
	EndNoAnswer      End = "no answer"      // lost during the switch: the host resolves it
	EndNeedsOperator End = "needs-operator" // neither state
)

// Exit is the exit code that an end asks for.
func (e End) Exit() Exit {
	switch e {
	case EndRolledBack, EndReverted:
		return ExitRolledBack
	case EndFailed:
		return ExitFailed
	case EndRefused:
		return ExitRefused
	case EndUnreachable, EndNoAnswer:
		return ExitUnreachable
	case EndNeedsOperator:
		return ExitDegraded
	}
	return ExitDone
}

// HostResult is one line of the final table.
type HostResult struct {
	Host       string  `json:"host"`
	End        End     `json:"end"`
	Reason     string  `json:"reason,omitempty"`
	WasGen     int     `json:"was_generation,omitempty"`
	WasRelease int     `json:"was_release,omitempty"`
	Gen        int     `json:"generation,omitempty"`
	Release    int     `json:"release,omitempty"` // whose toplevel runs now
	Toplevel   string  `json:"toplevel,omitempty"`
	Service    string  `json:"service,omitempty"` // that failed, for the next command
	Place      string  `json:"place,omitempty"`   // of that service or check in the HCL
	Degraded   bool    `json:"degraded,omitempty"`
	Took       Seconds `json:"seconds,omitempty"`

	Envoy *EnvoyResult `json:"envoy,omitempty"` // of its restart, nil where it went on

	stale *EnvoyChange // what is left to restart after the commit
}

// Summary is the end of an operation.
type Summary struct {
	Schema string       `json:"schema"` // SummarySchema
	Kind   string       `json:"kind"`   // system, rollback, mesh
	Number int          `json:"release"`
	Fleet  string       `json:"fleet"`
	Title  string       `json:"title"`
	Hosts  []HostResult `json:"hosts"`
	Notes  []string     `json:"notes,omitempty"`
	Next   []Next       `json:"next,omitempty"`
	Exit   Exit         `json:"exit"`
	// Evaluated hosts were not in the build's cache; nil for a rollback.
	Evaluated []string `json:"evaluated,omitempty"`
	Seconds   float64  `json:"seconds"`
	// Mesh is how the last document of the release came to the agents, nil where
	// none was published. MeshHeld says what waits for hosts that are behind.
	Mesh     *MeshResult `json:"mesh,omitempty"`
	MeshHeld string      `json:"mesh_held,omitempty"`
	// Live counts hosts that run the release after it, of all hosts of the spec.
	Live, Fleetwide int `json:"-"`
}

// SummarySchema names the last object of --progress json.
const SummarySchema = "nixmesh.summary/1"

// Next is a command that makes sense now, and why.
type Next struct {
	Command string `json:"command"`
	Why     string `json:"why,omitempty"`
}

// count is the number of hosts with one of the ends.
func (s *Summary) count(ends ...End) int {
	n := 0
	for _, h := range s.Hosts {
		for _, e := range ends {
			if h.End == e {
				n++
			}
		}
	}
	return n
}

// took is a duration as JSON shows it, in milliseconds' precision.
func took(d time.Duration) Seconds { return Seconds(float64(d.Milliseconds()) / 1000) }
