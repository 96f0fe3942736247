# systemd.tmpfiles: rules as files of /etc/tmpfiles.d, applied at boot and again by every switch.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.systemd.tmpfiles;
  text = default: description: mkOption { type = types.str; inherit default description; };
  rule = { name, ... }: {
    options = {
      type = text name "The kind of line: d, f, L+ …";
      mode = text "-" "Its mode.";
      user = text "-" "Its owner.";
      group = text "-" "Its group.";
      age = text "-" "When files in it go.";
      argument = text "" "The text of f, the target of L …";
    };
  };
  line = path: r: "'${r.type}' '${path}' '${r.mode}' '${r.user}' '${r.group}' '${r.age}' ${r.argument}\n";
in
{
  options.systemd.tmpfiles = {
    rules = mkOption { type = types.listOf types.str; default = [ ]; description = "Lines of tmpfiles.d(5)."; };
    packages = mkOption { type = types.listOf types.package; default = [ ]; description = "Accepted and unused."; };
    settings = mkOption {
      type = types.attrsOf (types.attrsOf (types.attrsOf (types.submodule rule)));
      default = { };
      description = "FILE, path, kind of line: the columns of tmpfiles.d(5).";
    };
  };
  config = {
    environment.etc = {
      "tmpfiles.d/00-nixos.conf".text = lib.concatMapStrings (l: "${l}\n") cfg.rules;
    }
    // lib.mapAttrs' (name: paths: {
      name = "tmpfiles.d/${name}.conf";
      value.text = lib.concatStrings (
        lib.mapAttrsToList (path: kinds: lib.concatStrings (lib.mapAttrsToList (_: line path) kinds)) paths
      );
    }) cfg.settings;
    systemd.services.systemd-tmpfiles-resetup = {
      description = "Re-setup tmpfiles on a system that is already running.";
      requiredBy = [ "sysinit-reactivation.target" ];
      after = [ "local-fs.target" "systemd-sysusers.service" "systemd-journald.service" ];
      before = [ "sysinit-reactivation.target" "shutdown.target" ];
      conflicts = [ "shutdown.target" ];
      unitConfig.DefaultDependencies = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${pkgs.systemd}/bin/systemd-tmpfiles --create --remove --exclude-prefix=/dev";
        SuccessExitStatus = "DATAERR CANTCREAT";
      };
    };
    systemd.targets.sysinit-reactivation.description = "Reactivate sysinit units";
  };
}
