# The system's programs (/run/current-system/sw) and the environment of login shells.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.environment;
  value = types.oneOf [
    (types.listOf (types.oneOf [ types.int types.str types.path ]))
    types.int
    types.str
    types.path
  ];
  asText = v: if builtins.isList v then lib.concatMapStringsSep ":" toString v else toString v;
  exports = vars: lib.concatStrings (lib.mapAttrsToList (n: v: "export ${n}=${lib.escapeShellArg (asText v)}\n") vars);
in
{
  options = {
    environment = {
      systemPackages = mkOption { type = types.listOf types.package; default = [ ]; description = "Packages whose programs every user has."; };
      defaultPackages = mkOption { type = types.listOf types.package; default = [ ]; description = "Further such packages."; };
      pathsToLink = mkOption { type = types.listOf types.str; default = [ "/bin" ]; description = "Folders of packages that sw/ has."; };
      extraSetup = mkOption { type = types.lines; default = ""; description = "Shell text at the end of the build of sw/."; };
      variables = mkOption { type = types.attrsOf value; default = { }; description = "Environment of login shells."; };
      sessionVariables = mkOption { type = types.attrsOf value; default = { }; description = "Environment of sessions."; };
      shellAliases = mkOption { type = types.attrsOf (types.nullOr types.str); default = { }; description = "Aliases of login shells."; };
      shellInit = mkOption { type = types.lines; default = ""; description = "Shell text of every shell."; };
      loginShellInit = mkOption { type = types.lines; default = ""; description = "Shell text of login shells."; };
      interactiveShellInit = mkOption { type = types.lines; default = ""; description = "Shell text of interactive shells."; };
      shells = mkOption { type = types.listOf (types.either types.path types.package); default = [ ]; description = "Lines of /etc/shells."; };
      binsh = mkOption { type = types.path; default = "/bin/sh"; description = "Accepted and unused."; };
    };
    system.path = mkOption { type = types.package; internal = true; description = "The package sw/."; };
  };
  config = {
    environment.systemPackages = [
      pkgs.bashInteractive
      pkgs.coreutils
      pkgs.curl
      pkgs.findutils
      pkgs.gawk
      pkgs.gnugrep
      pkgs.gnused
      pkgs.gnutar
      pkgs.gzip
      pkgs.hostname
      pkgs.iproute2
      pkgs.less
      pkgs.nftables
      pkgs.openssh
      pkgs.procps
      pkgs.systemd
      pkgs.util-linux
    ];
    system.path = pkgs.buildEnv {
      name = "system-path";
      paths = cfg.systemPackages ++ cfg.defaultPackages;
      pathsToLink = lib.unique cfg.pathsToLink;
      postBuild = cfg.extraSetup;
    };
    # The stand-in's login shells read Debian's /etc/profile, which sources profile.d.
    environment.etc = {
      # pam_env's file: what sessions over SSH start with.
      environment.text = "PATH=/run/wrappers/bin:/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\n";
      "profile.d/nixos.sh".text =
        "export PATH=/run/wrappers/bin:/run/current-system/sw/bin:$PATH\n"
        + exports (cfg.variables // cfg.sessionVariables)
        + cfg.shellInit
        + cfg.loginShellInit;
      shells.text = lib.concatMapStrings (s: "${s}\n") (
        [ "/run/current-system/sw/bin/bash" "/bin/bash" "/bin/sh" ] ++ map toString cfg.shells
      );
    };
  };
}
