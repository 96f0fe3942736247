# The package set: builders, names for the base image's programs, and overlays over both.
{
  lib,
  system ? "x86_64-linux",
  overlays ? [ ],
  config ? { },
}:
let
  base =
    final:
    {
      inherit
        lib
        system
        config
        overlays
        ;
      pkgs = final;
      _type = "pkgs";
      stdenv = rec {
        hostPlatform = {
          inherit system;
          isLinux = true;
          isx86_64 = true;
        };
        buildPlatform = hostPlatform;
        targetPlatform = hostPlatform;
        isLinux = true;
        shell = "${final.bash}/bin/bash";
      };
      hostPlatform = final.stdenv.hostPlatform;
      callPackage = callPackageWith final;
      newScope = extra: callPackageWith (final // extra);
      # The same set with more overlays.
      extend = overlay: final.appendOverlays [ overlay ];
      appendOverlays =
        more:
        import ./. {
          inherit lib system config;
          overlays = overlays ++ more;
        };
      formats = import ./formats.nix { inherit lib; pkgs = final; };
    }
    // import ./builders.nix { inherit lib system; pkgs = final; }
    // import ./debian.nix { inherit lib; pkgs = final; };

  callPackageWith =
    scope: fn: args:
    let
      f = if lib.isFunction fn then fn else import fn;
      wanted = builtins.intersectAttrs (lib.functionArgs f) scope;
      result = f (wanted // args);
    in
    if builtins.isAttrs result then
      result // { override = change: callPackageWith scope fn (args // (if lib.isFunction change then change (wanted // args) else change)); }
    else
      result;
in
lib.fix (lib.extends (lib.composeManyExtensions overlays) base)
