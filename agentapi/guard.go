package agentapi

import "time"

// GuardStatus is what the guard of this host saw, which keeps the kernel's table
// of who may connect where. Counts are packets since Since.
type GuardStatus struct {
	Loaded       bool      `json:"loaded"`
	Copy         bool      `json:"copy"`               // a second one acts, which holds while the first is being put back
	Since        time.Time `json:"since,omitzero"`     // of the guard's start
	Restored     int       `json:"restored,omitempty"` // times that the table had been changed or removed
	Undeclared   uint64    `json:"undeclared"`         // to a mesh name or to Envoy, by who declared no such upstream
	AppDenied    uint64    `json:"app_denied"`         // to a service's port, past the mesh
	EgressDenied uint64    `json:"egress_denied"`      // off the host, by a service that may not
	Squatted     uint64    `json:"squatted"`           // answers from a port of Envoy or of a service by another user
	Outside      uint64    `json:"outside"`            // to a service's port, from another machine
	Plaintext    uint64    `json:"plaintext"`          // let through, to a service that takes calls in the clear
}
