package health

import (
	"fmt"
	"time"
)

// State is how an instance is.
type State int

// The states. An instance is Starting from the start of its unit until it has
// proved itself, or until it has failed for good.
const (
	Starting State = iota + 1
	Healthy
	Unhealthy
)

// String is the state as people and JSON have it.
func (s State) String() string {
	switch s {
	case Starting:
		return "starting"
	case Healthy:
		return "healthy"
	case Unhealthy:
		return "unhealthy"
	}
	return fmt.Sprintf("state %d", int(s))
}

// Instance is one running copy of a service on this host, and how it is.
type Instance struct {
	Service string
	Version string
	Unit    string // "web.service"
	Copy    int    // from 1, for each service and version, in the order of the units' names
	State   State
	Since   time.Time // when it got into this state

	// Reason is one line: the last answer of the check that decides, "web.service
	// is not running", or empty where there is nothing to say.
	Reason string

	// Flaps is how often it became unhealthy in the last ten minutes.
	Flaps int
}
