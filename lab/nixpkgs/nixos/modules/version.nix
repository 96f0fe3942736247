{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.system.nixos;
  text = default: description: mkOption { type = types.str; inherit default description; };
in
{
  options.system = {
    stateVersion = mkOption {
      type = types.str;
      default = cfg.release;
      description = "The release whose data formats this host was installed with.";
    };
    name = mkOption {
      type = types.str;
      default = if config.networking.hostName == "" then "unnamed" else config.networking.hostName;
      description = "The name in the toplevel's store path.";
    };
    configurationRevision = mkOption { type = types.nullOr types.str; default = null; description = "A revision to show."; };
    nixos = {
      release = text lib.trivial.release "The release of the module set.";
      version = text (cfg.release + cfg.versionSuffix) "The whole version.";
      versionSuffix = text ".standin" "What follows the release.";
      codeName = text "Stand-in" "The name of the release.";
      distroId = text "nixos" "ID of os-release.";
      distroName = text "NixOS" "NAME of os-release.";
      revision = mkOption { type = types.nullOr types.str; default = null; description = "The revision of the module set."; };
      variant_id = mkOption { type = types.nullOr types.str; default = null; description = "VARIANT_ID of os-release."; };
      tags = mkOption { type = types.listOf types.str; default = [ ]; description = "Words in front of the label."; };
      label = mkOption {
        type = types.strMatching "[a-zA-Z0-9:_.-]*";
        default = lib.concatStringsSep "-" (cfg.tags ++ [ cfg.version ]);
        description = "The name of the configuration in the boot menu.";
      };
    };
  };
  config.environment.etc."os-release".text = ''
    ID=${cfg.distroId}
    NAME=${cfg.distroName}
    PRETTY_NAME="${cfg.distroName} look-alike of the nixmesh lab"
    VERSION_ID="${cfg.release}"
    ${lib.optionalString (cfg.variant_id != null) "VARIANT_ID=${cfg.variant_id}"}
  '';
}
