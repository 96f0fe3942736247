// Package testkit holds what several packages' tests stand on: an SSH server
// in this process that fails on command, a fake of remote.Host, and the way to
// a real nix. Only tests import it.
package testkit
