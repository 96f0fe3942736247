// Package nix is the only caller of the nix command line. It lays out the
// generated flake with one tree per host (Workspace), evaluates and builds the
// hosts whose content key changed, signs and copies closures over the
// deployer's own SSH connection, and reads what nix says about it (events,
// path infos, closures). Everything that can be computed without nix, such as
// NAR hashes, fingerprints and keys, is computed in Go.
package nix
