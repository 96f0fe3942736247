{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.nixpkgs;
  overlay = lib.types.mkOptionType {
    name = "nixpkgs-overlay";
    description = "nixpkgs overlay";
    check = lib.isFunction;
    merge = lib.mergeOneOption;
  };
in
{
  options.nixpkgs = {
    hostPlatform = mkOption {
      type = types.either types.str types.attrs;
      apply = p: if builtins.isString p then { system = p; } else p;
      description = "The machine that the system is for, as `x86_64-linux`.";
    };
    buildPlatform = mkOption {
      type = types.either types.str types.attrs;
      default = cfg.hostPlatform;
      description = "The machine that the system is built on.";
    };
    system = mkOption {
      type = types.str;
      default = "x86_64-linux";
      description = "The older name of `nixpkgs.hostPlatform`.";
    };
    overlays = mkOption {
      type = types.listOf overlay;
      default = [ ];
      description = "Functions `final: prev: { … }` over the package set.";
    };
    config = mkOption {
      type = types.attrsOf types.anything;
      default = { };
      description = "Accepted and unused: every package here is free.";
    };
    flake.setNixPath = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
    flake.setFlakeRegistry = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
    pkgs = mkOption {
      type = types.pkgs;
      description = "A package set to use as it is, before overlays.";
      default = import ../../pkgs { inherit lib; inherit (cfg.hostPlatform) system; inherit (cfg) config; };
    };
  };
  config._module.args.pkgs = if cfg.overlays == [ ] then cfg.pkgs else cfg.pkgs.appendOverlays cfg.overlays;
}
