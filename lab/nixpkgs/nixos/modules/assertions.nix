# assertions and warnings, and what they do to a value that is asked for.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
in
{
  options = {
    assertions = mkOption {
      type = types.listOf types.unspecified;
      internal = true;
      default = [ ];
      description = "What must hold: a list of { assertion, message }.";
    };
    warnings = mkOption {
      type = types.listOf types.str;
      internal = true;
      default = [ ];
      description = "What to tell when the configuration is evaluated.";
    };
    lib = mkOption {
      type = types.attrsOf types.attrs;
      default = { };
      description = "Functions that modules offer each other.";
    };
    meta = mkOption {
      type = types.lazyAttrsOf types.unspecified;
      internal = true;
      default = { };
      description = "What modules say about themselves.";
    };
    system.build = mkOption {
      type = types.submodule { freeformType = types.lazyAttrsOf types.unspecified; };
      default = { };
      description = "What can be built from the configuration.";
    };
    system.checked = mkOption {
      type = types.raw;
      internal = true;
      readOnly = true;
      description = "A function: its argument, once every assertion holds.";
    };
  };
  config.system.checked =
    value:
    let
      failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
      warned = builtins.foldl' (v: text: builtins.warn text v) value config.warnings;
    in
    if failed != [ ] then throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}" else warned;
}
