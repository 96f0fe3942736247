// Package ca gets and gives the certificates of services: an Issuer on the
// hosts that are authorities, a Keeper on every host.
//
// The keeper holds a key and a certificate for each service that the mesh
// configuration places on its host. It asks an authority in time, keeps what it
// got on disk, so that a host that starts while everybody else is dead serves,
// and goes on with what it has when nobody answers. The issuer signs for a host
// what the configuration places there, and nothing else; the host proves who it
// is by its node key, over a nonce of the issuer's, and needs no certificate for
// that, so a host that was away for months heals by itself.
//
// Two rules explain most of the code. A wrong clock, anybody's, must not cost a
// certificate that still works (judge.go). And nothing is handed out that the
// issue log does not have (issue.go).
//
// Both sides work on what they are given: a clock, a store, a transport. Neither
// dials, listens, or reads the mesh configuration's file. The agent (package
// controlplane) wires them; nobody else imports this package.
package ca
