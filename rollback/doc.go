// Package rollback is the host half of a switch: it brings one host from its
// running system (OLD) to a new one (NEW), proves NEW, and only then makes it
// the boot default; whatever nobody commits is undone by the host itself.
//
// Main is the whole program. It runs as root, once per verb: asked by the
// deployer over sudo (preflight, lease, record, root, activate, commit,
// revert, status, log), or started by the units that a run writes (switched,
// verify, commit-run, commit-failed, undo, revert-run, reconcile). Nothing
// stays in memory between two verbs: the journal on disk is the only state,
// and every change of phase is a compare-and-set on it.
//
// wire.go is the contract with the deployer, DESIGN.md says why each part is
// as it is and what happens at each crash point. The package imports the
// standard library, x/sys, go-systemd's D-Bus library and hostfacts; it never
// sees HCL. cmd imports it for Main, deploy for the wire types.
package rollback
