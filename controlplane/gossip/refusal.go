package gossip

// Reason is why a host, a packet or a hint was refused.
type Reason string

// The reasons.
const (
	UnknownName     Reason = "unknown_name"     // the mesh configuration has no such host
	WrongAddress    Reason = "wrong_address"    // the name is known, the address is another
	WrongProtocol   Reason = "wrong_protocol"   // a version of memberlist's protocol that would stop all exchanges
	BadMeta         Reason = "bad_meta"         // undecodable, or out of bounds
	TooManyHosts    Reason = "too_many_hosts"   // a list of members beyond all bounds
	ForeignAddress  Reason = "foreign_address"  // packet or connection from outside the table
	TooManyStreams  Reason = "too_many_streams" // more connections at once than a fleet makes
	WrongKey        Reason = "wrong_key"        // a host of the table that our keys do not open
	BadHint         Reason = "bad_hint"         // undecodable, or from an unknown host
	TooManyHints    Reason = "too_many_hints"   // of one host
	OutgoingForeign Reason = "outgoing_foreign" // we were asked to send outside the table
)
