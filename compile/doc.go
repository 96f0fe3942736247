// Package compile turns a checked fleet into Nix text: one NixOS module a host
// and the flake that evaluates them. It is pure, has a stable order and no
// clock, so that an unchanged spec gives identical bytes.
//
// Beside the names of a host and of what it calls, the text only sets options
// that package modules declares, and the user's own. Each definition is a
// module with _file set to its place in the HCL, so that Nix's own errors name
// it. Places never reach a toplevel: they stand in _file, in messages of
// assertions and in throws, all of which are gone once the evaluation has
// succeeded, and host.json has none (ServicePlace and CheckPlace tell them from
// the spec). Hence KeyModule, the same text without places, is all that a
// host's content key needs, and a comment in the HCL evaluates nothing.
//
// Package deploy and the commands may import it.
package compile
