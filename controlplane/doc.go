// Package controlplane is the agent: the one program of nixmesh that runs on
// every host all the time. It knows who is alive, what runs where and how
// healthy it is, holds the certificates of its host's services, and carries the
// mesh configuration that the fleet's operators signed. There is no leader: each
// agent decides alone, from signed statements, and those that have heard the
// same decide the same.
//
// The package joins its children, and owns what none of them may know of the
// others: catalog (what is known), gossip (who is there), sync (exchange between
// agents), health (what runs here), ca (certificates), api (what a person on the
// host may ask). Only cmd imports it, and a program that wants an agent inside.
//
// # What it lives from
//
// The host's facts (host.json, looked at once a second), the node key, the
// gossip keys, and its state folder. All of them but the facts and the key may be
// missing: an agent that has no document yet, hears of nobody, or finds its disk
// full or its files damaged starts all the same, says so in its status, and goes
// on when it can. What is on disk is served at once, and called stale until
// another host was heard of.
//
// # Who may change anything
//
// A document or an override counts when an operator of the host's own facts
// signed it, with a key that was never removed here. Records count when their
// host signed them with the node key that its SSH host key certified; which SSH
// host key is a host's the document says. Nothing else that a remote machine says
// changes what an agent does, and what makes one fail is set aside by its hash,
// so that it does not fail twice (poison.go, trying.go).
package controlplane
