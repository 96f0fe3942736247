package gossip

import (
	"net/netip"
	"time"
)

// State is what this host knows of another's agent.
type State string

// The states.
const (
	Unknown State = "unknown" // of the table, and never heard of since the start
	Alive   State = "alive"
	Suspect State = "suspect" // alive, but a probe of this host went unanswered on every way
	Dead    State = "dead"    // suspected by its peers, and did not refute in time
	Left    State = "left"    // said that it stops
)

// Member is one host of the table.
type Member struct {
	Name    string
	Address netip.AddrPort
	State   State
	Since   time.Time     // of the state, on this host's clock; zero while Unknown
	Meta    Meta          // the last that was heard
	RTT     time.Duration // of the last probe that was answered directly; 0 before
}

// Here tells whether the agent takes part: alive, or suspected so far.
func (m Member) Here() bool { return m.State == Alive || m.State == Suspect }

// EventKind is what happened to a member.
type EventKind string

// The kinds.
const (
	Joined    EventKind = "joined"    // alive, after unknown, dead or left
	Updated   EventKind = "updated"   // alive as before, with other meta: it restarted, as a rule
	Suspected EventKind = "suspected" // see Suspect
	Recovered EventKind = "recovered" // alive, after suspect
	Died      EventKind = "died"
	Gone      EventKind = "left"    // rarely after died, when the news of the two came in the wrong order
	Removed   EventKind = "removed" // the table no longer has it
)

// Event is a change of one member.
type Event struct {
	Kind   EventKind
	Member Member // as it is after the event
	At     time.Time
}
