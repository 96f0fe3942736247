package sync

// Reason is why a connection or a request was refused.
type Reason string

// The reasons.
const (
	ForeignAddress Reason = "foreign_address" // of no host that this one may speak with
	TooMany        Reason = "too_many"        // connections or requests at once
	BadHandshake   Reason = "bad_handshake"   // TLS failed, or nothing was proven
	UnknownHost    Reason = "unknown_host"    // proven to be a host that the configuration does not name
	BadNode        Reason = "bad_node"        // a node certificate that the pinned host key did not sign, or that was replaced
	WrongHost      Reason = "wrong_host"      // somebody is at another host's address
	WrongProtocol  Reason = "wrong_protocol"  // no protocol in common
	BadRequest     Reason = "bad_request"     // undecodable, out of bounds, or out of turn
)
