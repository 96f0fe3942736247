// Package sync is the exchange between agents: what changes on one host is at
// once on all others, and once a second a host compares with another one, so that
// nothing stays missing. It is the door of port 7947. Package controlplane imports
// it and nothing else does; it imports catalog and trust.
//
// # Connections
//
// HTTP/2 over TLS 1.3. Both ends show a certificate that they signed themselves,
// of their node key, with their node.cert in an extension: whose key it is, the
// pinned SSH host key says. Nothing in it ends, so a host that was away for months
// is let in. Each side sends changes, digests and calls over the connection that
// it dialled itself, so between two hosts there are two, and nobody has to decide
// between them.
//
// Connections are taken from the addresses of the mesh configuration only, before
// anything is read; a host that the configuration loses is cut at once, and so are
// the connections of a node key when its host shows a newer one.
//
// # What travels
//
// A change goes to all peers as soon as it is there (Push): up to 32 hosts all are
// peers, beyond that 16 that hashes choose, and then whoever hears a change for the
// first time passes it on. A peer that is slow loses what waits for it, and is
// compared with instead. Every second one other host, at random, is asked for the
// hash of all it knows; if it is another one, digests and deltas go both ways, again
// and again while a delta was as large as is allowed.
//
// Call asks a handler of the other agent: for a mesh document, for node
// certificates, for a signature.
//
// # Protocols
//
// The first request of a connection tells the range of protocol numbers. Two agents
// without a common one exchange nothing; where such a pair is known of, everybody
// passes changes on, so that they reach it through others.
//
// # Simulations
//
// Options.Wire replaces TLS. Its one other implementation is in
// internal/testkit/plainwire, which only tests may import: both ends say their node
// certificate and prove nothing. All else is the same, so a thousand agents can be
// tried in one process, in the time of a testing/synctest bubble:
//
//	sync.Options{…, Network: memnet.Host(addr), Wire: plainwire.New(nodes.Own)}
package sync
