{ config, lib, ... }:
let
  value = lib.types.nullOr (lib.types.oneOf [ lib.types.bool lib.types.str lib.types.int ]) // { description = "sysctl option value"; };
  asText = v: if v == true then "1" else if v == false then "0" else toString v;
in
{
  options.boot.kernel.sysctl = lib.mkOption { type = lib.types.attrsOf value; default = { }; description = "Kernel settings."; };
  config.environment.etc."sysctl.d/60-nixos.conf".text = lib.concatStrings (
    lib.mapAttrsToList (n: v: lib.optionalString (v != null) "${n}=${asText v}\n") config.boot.kernel.sysctl
  );
}
