# systemd.*: units as one folder, linked at /etc/systemd/system. systemd's own units are those of the base image.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.systemd;
  kinds = import ../system/unit-options.nix { inherit lib pkgs; };
  text = import ../system/unit-text.nix { inherit lib pkgs; };
  named = kind: mkOption { type = kinds.named kind; default = { }; description = "Units of kind ${kind}."; };
  setting = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.str (types.listOf types.str) ]));

  units =
    map (text.service cfg.globalEnvironment) (builtins.attrValues cfg.services)
    ++ map text.socket (builtins.attrValues cfg.sockets)
    ++ map text.timer (builtins.attrValues cfg.timers)
    ++ map text.path (builtins.attrValues cfg.paths)
    ++ map text.slice (builtins.attrValues cfg.slices)
    ++ map text.target (builtins.attrValues cfg.targets)
    ++ map (m: text.mount (m // { name = utils.escapeSystemdPath m.where; })) cfg.mounts;

  # Units of the base image's systemd are changed by a drop-in, as the real module set does with its own.
  install =
    u:
    let
      file = lib.escapeShellArg u.name;
      put = path: "printf %s ${lib.escapeShellArg u.text} > ${path}\n";
      dropIn = "mkdir -p ${file}.d\n" + put "${file}.d/overrides.conf";
      links = suffix: targets: lib.concatMapStrings (t: "mkdir -p ${lib.escapeShellArg t}.${suffix}; ln -sfn ../${file} ${lib.escapeShellArg t}.${suffix}/${file}\n") targets;
    in
    (
      if !u.enable then
        "ln -s /dev/null ${file}\n"
      else if u.overrideStrategy == "asDropin" then
        dropIn
      else if lib.hasPrefix "systemd-" u.name then
        "if [ -e /usr/lib/systemd/system/${file} ]; then\n${dropIn}else\n${put file}fi\n"
      else
        put file
    )
    + lib.optionalString u.enable (
      lib.concatMapStrings (a: "ln -sfn ${file} ${lib.escapeShellArg a}\n") u.aliases
      + links "wants" u.wantedBy
      + links "requires" u.requiredBy
      + links "upholds" u.upheldBy
    );
  baseTargets = "basic local-fs graphical multi-user network network-online network-pre nss-lookup paths sockets sysinit time-sync timers";
  manager =
    lib.optionalAttrs (cfg.watchdog.runtimeTime != null) { RuntimeWatchdogSec = cfg.watchdog.runtimeTime; }
    // lib.optionalAttrs (cfg.watchdog.rebootTime != null) { RebootWatchdogSec = cfg.watchdog.rebootTime; }
    // lib.optionalAttrs (cfg.watchdog.device != null) { WatchdogDevice = cfg.watchdog.device; }
    // cfg.settings.Manager;
  ini = set: lib.concatStrings (lib.mapAttrsToList (k: v: lib.concatMapStrings (x: "${k}=${if builtins.isBool x then lib.boolToString x else toString x}\n") (lib.toList v)) (lib.filterAttrs (_: v: v != null) set));
in
{
  options.systemd = {
    package = mkOption { type = types.package; default = pkgs.systemd; description = "The systemd package."; };
    services = named "service";
    sockets = named "socket";
    timers = named "timer";
    paths = named "path";
    slices = named "slice";
    targets = named "target";
    mounts = mkOption {
      type = types.listOf (types.submodule [ kinds.common kinds.kinds.mount { name = lib.mkDefault "mount"; } ]);
      default = [ ];
      description = "Mount units, named after `where`.";
    };
    defaultUnit = mkOption { type = types.str; default = "multi-user.target"; description = "What systemd starts."; };
    globalEnvironment = mkOption { type = types.attrsOf (types.nullOr (types.either types.str types.path)); default = { }; description = "Environment of every service."; };
    enableEmergencyMode = mkOption { type = types.bool; default = true; description = "Accepted and unused."; };
    settings.Manager = mkOption { type = setting; default = { }; description = "[Manager] of system.conf."; };
    watchdog = {
      device = mkOption { type = types.nullOr types.path; default = null; description = "WatchdogDevice=."; };
      runtimeTime = mkOption { type = types.nullOr types.str; default = null; description = "RuntimeWatchdogSec=."; };
      rebootTime = mkOption { type = types.nullOr types.str; default = null; description = "RebootWatchdogSec=."; };
    };
    extraConfig = mkOption { type = types.lines; default = ""; description = "Further lines of [Manager]."; };
  };

  config = {
    systemd.timers = lib.mapAttrs (_: s: {
      wantedBy = [ "timers.target" ];
      timerConfig.OnCalendar = s.startAt;
    }) (lib.filterAttrs (_: s: s.enable && s.startAt != [ ]) cfg.services);

    warnings = lib.concatLists (
      lib.mapAttrsToList (
        name: s:
        lib.optional (
          s.enable && lib.elem "network-online.target" s.after && !lib.elem "network-online.target" (s.wants ++ s.requires ++ s.bindsTo)
        ) "${name}.service is ordered after 'network-online.target' but doesn't depend on it"
      ) cfg.services
    );

    system.build.units = pkgs.derive {
      name = "system-units";
      script = ''
        mkdir -p $out
        cd $out
        for t in ${baseTargets}; do ln -s /usr/lib/systemd/system/$t.target $t.target; done
        ln -s ${lib.escapeShellArg cfg.defaultUnit} default.target
        ${lib.concatMapStrings install units}
      '';
    };
    environment.etc = {
      "systemd/system".source = config.system.build.units;
      "systemd/system.conf".text = "[Manager]\n${ini manager}${cfg.extraConfig}";
      # The image's postgresql package would start clusters of its own, for a user that a host need not have.
      "systemd/system-generators/postgresql-generator".source = "/dev/null";
      "tmpfiles.d/postgresql-common.conf".source = "/dev/null";
    };

    _module.args.utils = {
      # The name of the unit of a path: / -> "-", a/b -> "a-b".
      escapeSystemdPath =
        path:
        let
          trimmed = lib.removePrefix "/" (lib.removeSuffix "/" path);
          char = c: if c == "/" then "-" else if builtins.match "[a-zA-Z0-9:_.]" c != null then c else "\\x" + byte c;
          byte = c: { "-" = "2d"; " " = "20"; "+" = "2b"; "@" = "40"; "~" = "7e"; "," = "2c"; }.${c} or (throw "cannot escape `${c}' for systemd");
        in
        if trimmed == "" then "-" else lib.concatMapStrings char (lib.stringToCharacters trimmed);
      escapeSystemdExecArg = arg: lib.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (builtins.toJSON "${toString arg}");
      escapeSystemdExecArgs = lib.concatMapStringsSep " " (a: lib.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (builtins.toJSON "${toString a}"));
      toShellPath = shell: if lib.types.shellPackage.check shell then "/run/current-system/sw${shell.shellPath}" else "${shell}";
    };
  };
}
