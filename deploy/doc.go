// Package deploy brings a fleet from one release to the next: it asks the hosts
// what they run, compares that with what was built, takes leases, signs and
// stores the release record, copies, and drives the hosts through their waves
// and phases (build copy arm switch verify commit). Every host decides alone
// whether it keeps a new system; this package only starts runs, follows them
// over any connection, proves that a fresh one still works, and asks for the
// commit. Losing the connection is therefore never a verdict.
//
// What happens is told as typed events; renderers for a terminal, for logs and
// for programs turn them into text. The commands import this package; it drives
// nix, remote and rollback, and never runs on a host.
package deploy
