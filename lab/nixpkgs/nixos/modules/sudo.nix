{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.security.sudo;
  names = description: mkOption { type = types.listOf (types.either types.str types.int); default = [ ]; inherit description; };
  command.options = {
    command = mkOption { type = types.str; description = "A command line as in sudoers(5)."; };
    options = mkOption {
      type = types.listOf (types.enum [ "NOPASSWD" "PASSWD" "NOEXEC" "EXEC" "SETENV" "NOSETENV" "LOG_INPUT" "NOLOG_INPUT" "LOG_OUTPUT" "NOLOG_OUTPUT" "MAIL" "NOMAIL" "FOLLOW" "NOFOLLOW" "INTERCEPT" "NOINTERCEPT" ]);
      default = [ ];
      description = "Tags of the command.";
    };
  };
  rule.options = {
    commands = mkOption { type = types.listOf (types.either types.str (types.submodule command)); description = "What may be run."; };
    users = names "Who may.";
    groups = names "Members of which groups may.";
    host = mkOption { type = types.str; default = "ALL"; description = "On which host."; };
    runAs = mkOption { type = types.str; default = "ALL:ALL"; description = "As whom."; };
  };
  who = prefix: n: if builtins.isInt n then "${prefix}#${toString n}" else "${prefix}${n}";
  tags = o: lib.concatMapStrings (t: "${t}:") o;
  asText = c: if builtins.isString c then c else "${tags c.options}${c.command}";
  text = r: lib.concatMapStrings (w: "${w}\t${r.host}=(${r.runAs}) ${lib.concatMapStringsSep ", " asText r.commands}\n") (map (who "") r.users ++ map (who "%") r.groups);
in
{
  options.security = {
    sudo = {
      enable = mkOption { type = types.bool; default = true; description = "Whether sudo works."; };
      package = mkOption { type = types.package; default = pkgs.sudo; description = "The sudo package."; };
      wheelNeedsPassword = mkOption { type = types.bool; default = true; description = "Whether members of wheel are asked."; };
      execWheelOnly = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
      keepTerminfo = mkOption { type = types.bool; default = true; description = "Accepted and unused."; };
      defaultOptions = mkOption { type = types.listOf types.str; default = [ "SETENV" ]; description = "Tags of root's and wheel's rules."; };
      extraRules = mkOption { type = types.listOf (types.submodule rule); default = [ ]; description = "Who may run what."; };
      extraConfig = mkOption { type = types.lines; default = ""; description = "Further text of sudoers."; };
      configFile = mkOption { type = types.lines; description = "The whole text of sudoers."; };
    };
    sudo-rs.enable = mkOption { type = types.bool; default = false; description = "Refused: the image has no sudo-rs."; };
    polkit.enable = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
    wrappers = mkOption { type = types.attrsOf types.attrs; default = { }; description = "Accepted and unused: /run/wrappers/bin has sudo."; };
    pki.certificateFiles = mkOption { type = types.listOf types.path; default = [ ]; description = "Accepted and unused."; };
    pki.certificates = mkOption { type = types.listOf types.str; default = [ ]; description = "Accepted and unused."; };
  };
  config = {
    assertions = [
      { assertion = !config.security.sudo-rs.enable; message = "security.sudo-rs.enable: the stand-in has no sudo-rs."; }
    ];
    environment.systemPackages = lib.mkIf cfg.enable [ cfg.package ];
    security.sudo.extraRules = lib.mkBefore [
      { users = [ "root" ]; commands = [ { command = "ALL"; options = cfg.defaultOptions; } ]; }
      {
        groups = [ "wheel" ];
        commands = [ { command = "ALL"; options = cfg.defaultOptions ++ lib.optional (!cfg.wheelNeedsPassword) "NOPASSWD"; } ];
      }
    ];
    security.sudo.configFile = ''
      # Made by security.sudo.* of the configuration.
      Defaults secure_path="/run/wrappers/bin:/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin"
      ${lib.concatMapStrings text cfg.extraRules}
      ${cfg.extraConfig}
    '';
    environment.etc = lib.mkIf cfg.enable {
      sudoers = {
        text = cfg.configFile;
        mode = "0440";
      };
    };
  };
}
