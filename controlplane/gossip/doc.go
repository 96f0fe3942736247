// Package gossip tells which hosts of the fleet have a live agent, and spreads
// small hints among them. It is the one door to hashicorp/memberlist: SWIM with
// Lifeguard over UDP and TCP port 7946. Package controlplane imports it and
// nothing else does.
//
// # What it is for, and what not
//
// Membership, failure detection and hints. State does not travel here: user
// messages of memberlist saturate at about forty a second in a fleet of any
// size, so the catalog is exchanged by other means, and a hint only says that
// there is something to fetch. A hint may get lost or come late.
//
// # Who may be a member
//
// Names are host names of the mesh configuration, and each has the address that
// the configuration gives it. Everything else is refused and counted: packets
// and connections from other addresses before they are decrypted, other names
// and known names with another address by memberlist's delegates. Nothing is
// sent to an address outside the table either, so a host that the configuration
// no longer names is dead to the others within seconds. SetMembers replaces the
// table at any time.
//
// All of it is encrypted with the gossip key, always; the mesh's name is
// authenticated along with every packet. The key keeps outsiders out and is no
// identity: whoever holds it can claim any member dead. Identity lies in what is
// signed with the node key, one layer up.
//
// # How long things take
//
// A host that crashes is dead to the others after one to a few probes (1 s each)
// and the suspicion time, 4 s x log10(hosts), at least 4 s: about 6 s among 2 to 10,
// 11 s among 200 (tuning.go). A host that leaves by Stop has left at once. memberlist
// forgets a dead host after a minute and then never calls it again, which is why
// a loop of our own knocks at every host of the table that is not alive (knock.go):
// a partition heals within seconds, however long it was.
//
// # Waiting for everything
//
// Stop waits for every goroutine of this package and ends every connection.
// memberlist offers no way to wait for its own: what is left of it after Stop is
// at most one probe that nobody answered, which ends by its timer, after a second
// as a rule and eight at most, and can send nothing any more.
package gossip
