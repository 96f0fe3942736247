# `import nixpkgs { overlays = [ … ]; }`: the package set.
{
  system ? "x86_64-linux",
  localSystem ? system,
  overlays ? [ ],
  config ? { },
  ...
}:
import ./pkgs {
  lib = import ./lib;
  system = localSystem;
  inherit overlays config;
}
