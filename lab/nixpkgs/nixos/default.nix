# `lib.nixosSystem`: modules in, a system out.
{ lib }:
{
  modules,
  system ? null,
  specialArgs ? { },
  pkgs ? null,
  extraModules ? [ ],
  ...
}:
let
  evaluated = lib.evalModules {
    modules = [
      ./modules
      { _file = "nixosSystem"; config = lib.mkMerge [
          (lib.mkIf (system != null) { nixpkgs.hostPlatform = lib.mkDefault system; })
          (lib.mkIf (pkgs != null) { nixpkgs.pkgs = lib.mkDefault pkgs; })
        ];
      }
    ]
    ++ modules
    ++ extraModules;
    specialArgs = {
      modulesPath = toString ./modules;
    }
    // specialArgs;
    class = "nixos";
  };
  finish =
    result:
    result
    // {
      inherit lib;
      inherit (result._module.args) pkgs;
      extendModules = args: finish (result.extendModules args);
    };
in
finish evaluated
