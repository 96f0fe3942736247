// Package catalog is the live view of the fleet: which host runs what, how well
// it is, which mesh configuration it acts on, and which overrides are in force.
// It is pure: no goroutine, network, disk or clock of its own. Time comes in as
// an argument, keys stay behind an interface, bytes come from and go to package
// sync and the agent. It imports mesh and the standard library; controlplane and
// its children sync and xds may import it. A Catalog is not safe for concurrent
// use: the agent guards it with one mutex.
//
// # Records
//
// Every record has one writer, its owner: the host that it speaks of. A record
// is one key (kind and name) with a stamp (epoch, seq) and the owner's signature
// over all of it. The epoch grows by one each time the agent starts, the seq by
// one with each change; the higher stamp wins, and nobody's clock matters. The
// bytes are relayed as they came, so what a newer agent says reaches newer
// agents through older ones.
//
// Records that change together share a sum: a hash of the whole state of their
// owner once the last of them is there. So a reader can tell by itself, from
// signed bytes only, that it has everything: a relay that leaves something out,
// or a tombstone that was forgotten before a host came back, shows as a sum that
// does not match and is healed by reading that owner again from the start. A new
// epoch replaces the old one only once it is complete: a restarted agent makes
// no service vanish.
//
// # Exchange
//
// A digest says how far an agent knows each owner; a delta is what another one
// lacks, the longest missing first and cut at a budget. A part of a delta claims
// that nothing is missing after its From: that moves a reader on, and the sums
// tell whether it was true. When it was not, the owner is read again from the
// start, from peers that know its newest record, and what is not among that is
// dropped if the rest is what the owner signed. A single change travels as a
// delta of one record and acts at once.
//
// What changed is in a log by generation (Since): a flap costs one look at one
// endpoint, whatever the size of the fleet.
//
// # Wire
//
// The encoding is our own: unsigned varints in their shortest form, byte
// strings with a length, and in payloads numbered fields in rising order. One
// value has one text. Unknown fields of a payload and unknown kinds are kept and
// relayed, so both may only add; a change of meaning takes a new kind, a change
// of the envelope a new protocol number, which hosts tell in their records (see
// Common). Signed bytes begin with a text that names their purpose.
package catalog
