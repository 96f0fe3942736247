{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.nix;
  atom = types.nullOr (types.oneOf [ types.bool types.int types.float types.str types.path types.package ]);
  strings = default: description: mkOption { type = types.listOf types.str; inherit default description; };
  asText = v: if builtins.isBool v then lib.boolToString v else if v == null then "" else if builtins.isList v then lib.concatMapStringsSep " " asText v else toString v;
in
{
  options.nix = {
    enable = mkOption { type = types.bool; default = true; description = "Whether the host has Nix."; };
    package = mkOption { type = types.package; default = pkgs.nix; description = "The nix package."; };
    extraOptions = mkOption { type = types.lines; default = ""; description = "Further lines of nix.conf."; };
    checkConfig = mkOption { type = types.bool; default = true; description = "Accepted and unused."; };
    channel.enable = mkOption { type = types.bool; default = true; description = "Accepted and unused."; };
    nixPath = strings [ ] "Accepted and unused.";
    registry = mkOption { type = types.attrsOf types.attrs; default = { }; description = "Accepted and unused."; };
    optimise.automatic = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
    gc = {
      automatic = mkOption { type = types.bool; default = false; description = "Whether a timer collects garbage."; };
      dates = mkOption { type = types.singleLineStr; default = "03:15"; description = "When."; };
      options = mkOption { type = types.singleLineStr; default = ""; description = "Arguments of nix-collect-garbage."; };
      persistent = mkOption { type = types.bool; default = true; description = "Accepted and unused."; };
      randomizedDelaySec = mkOption { type = types.singleLineStr; default = "0"; description = "Accepted and unused."; };
    };
    settings = mkOption {
      default = { };
      description = "Lines of nix.conf.";
      type = types.submodule {
        freeformType = types.attrsOf (types.either atom (types.listOf atom));
        options = {
          allowed-users = strings [ "*" ] "Who may talk to the daemon.";
          trusted-users = strings [ "root" ] "Who may do with the store as they like.";
          trusted-public-keys = strings [ ] "Keys whose signatures count.";
          substituters = strings [ ] "Binary caches.";
          trusted-substituters = strings [ ] "Binary caches that users may name.";
          require-sigs = mkOption { type = types.bool; default = true; description = "Whether signatures are asked for."; };
          sandbox = mkOption { type = types.either types.bool (types.enum [ "relaxed" ]); default = true; description = "Whether builds are shut in."; };
          max-jobs = mkOption { type = types.either types.int (types.enum [ "auto" ]); default = "auto"; description = "Builds at once."; };
          cores = mkOption { type = types.int; default = 0; description = "Cores of a build."; };
          auto-optimise-store = mkOption { type = types.bool; default = false; description = "Whether equal files become one."; };
          system-features = strings [ ] "Features of builds.";
          extra-sandbox-paths = strings [ ] "Paths that builds see.";
        };
      };
    };
  };
  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."nix/nix.conf".text =
      lib.concatStrings (lib.mapAttrsToList (k: v: "${k} = ${asText v}\n") cfg.settings) + cfg.extraOptions;
    systemd.sockets.nix-daemon = {
      description = "Nix Daemon Socket";
      wantedBy = [ "sockets.target" ];
      before = [ "multi-user.target" ];
      listenStreams = [ "/nix/var/nix/daemon-socket/socket" ];
      unitConfig.RequiresMountsFor = "/nix/store";
    };
    systemd.services.nix-daemon = {
      description = "Nix Daemon";
      requires = [ "nix-daemon.socket" ];
      restartTriggers = [ config.environment.etc."nix/nix.conf".source ];
      stopIfChanged = false;
      path = [ cfg.package pkgs.openssh ];
      serviceConfig = {
        ExecStart = "@${cfg.package}/bin/nix-daemon nix-daemon --daemon";
        KillMode = "process";
        LimitNOFILE = 1048576;
        TasksMax = 1048576;
        Delegate = "yes";
      };
    };
    systemd.services.nix-gc = lib.mkIf cfg.gc.automatic {
      description = "Nix Garbage Collector";
      restartIfChanged = false;
      startAt = cfg.gc.dates;
      script = "exec ${cfg.package}/bin/nix-collect-garbage ${cfg.gc.options}";
      serviceConfig.Type = "oneshot";
    };
  };
}
