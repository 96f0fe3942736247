{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.fileSystems;
  entry =
    { name, config, ... }:
    {
      options = {
        mountPoint = mkOption { type = types.nonEmptyStr; default = name; description = "Where."; };
        device = mkOption { type = types.nullOr types.nonEmptyStr; default = null; description = "What."; };
        label = mkOption { type = types.nullOr types.nonEmptyStr; default = null; description = "Its label."; };
        fsType = mkOption { type = types.nonEmptyStr; default = "auto"; description = "Its type."; };
        options = mkOption { type = types.nonEmptyListOf types.nonEmptyStr; default = [ "defaults" ]; description = "Mount options."; };
        neededForBoot = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
        noCheck = mkOption { type = types.bool; default = false; description = "Whether fsck passes over it."; };
        depends = mkOption { type = types.listOf types.str; default = [ ]; description = "Accepted and unused."; };
        autoFormat = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
        autoResize = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
      };
    };
  device =
    f:
    if f.device != null then
      f.device
    else if f.label != null then
      "/dev/disk/by-label/${f.label}"
    else
      throw "No device specified for mount point ‘${f.mountPoint}’.";
in
{
  options = {
    fileSystems = mkOption { type = types.attrsOf (types.submodule entry); default = { }; description = "File systems."; };
    swapDevices = mkOption { type = types.listOf types.attrs; default = [ ]; description = "Accepted and unused."; };
  };
  config = {
    assertions = [
      {
        assertion = config.boot.isContainer || cfg ? "/";
        message = "The ‘fileSystems’ option does not specify your root file system.";
      }
    ];
    environment.etc.fstab.text = lib.concatMapStrings (
      f: "${device f} ${f.mountPoint} ${f.fsType} ${lib.concatStringsSep "," f.options} 0 ${if f.noCheck || f.mountPoint != "/" then "0" else "1"}\n"
    ) (builtins.attrValues cfg);
  };
}
