# The library: each file is a function from the whole library to a part of it. A part is reachable under its own name
# (`lib.strings.hasPrefix`) and directly (`lib.hasPrefix`).
let
  lib =
    builtins.foldl' (all: part: all // part) { } (builtins.attrValues parts)
    // parts
    // {
      inherit (import ./generators.nix lib) generators;
      types = import ./types.nix lib;
    };
  parts = builtins.mapAttrs (_: file: import file lib) {
    trivial = ./trivial.nix;
    fixedPoints = ./fixed-points.nix;
    lists = ./lists.nix;
    attrsets = ./attrsets.nix;
    strings = ./strings.nix;
    options = ./options.nix;
    modules = ./modules.nix;
    meta = ./meta.nix;
  };
in
lib
