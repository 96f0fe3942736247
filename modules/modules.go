// Package modules holds the NixOS modules that every host of a fleet gets, as
// an embedded tree. They declare the typed options services.nixmesh.*; what
// compile writes only sets those. The modules evaluate on any nixpkgs from
// 24.11 on. Package compile and the commands may import it.
package modules

import "embed"

// FS holds the modules at its root; default.nix imports the others.
//
//go:embed *.nix
var FS embed.FS
