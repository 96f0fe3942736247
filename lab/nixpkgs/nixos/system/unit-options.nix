# Options of systemd units, by kind. `common` is every kind's; `kinds.NAME` adds its own section.
{ lib, pkgs }:
let
  inherit (lib) mkOption types;
  unitName = types.strMatching "[a-zA-Z0-9@%:_.\\-]+[.](service|socket|device|mount|automount|swap|target|path|timer|scope|slice)";
  units = description: mkOption { type = types.listOf unitName; default = [ ]; inherit description; };
  flag = default: description: mkOption { type = types.bool; inherit default description; };
  script = description: mkOption { type = types.lines; default = ""; inherit description; };
  strings = description: mkOption { type = types.listOf types.str; default = [ ]; inherit description; };

  # A value of a section: lists of several definitions are joined, scalars must agree. What a value is, is not checked here.
  unitOption = types.mkOptionType {
    name = "systemd option";
    merge =
      loc: defs:
      if builtins.any (d: builtins.isList d.value) defs then
        lib.concatMap (d: lib.toList d.value) defs
      else
        lib.mergeEqualOption loc defs;
  };
  section = description: mkOption { type = types.attrsOf unitOption; default = { }; inherit description; };
in
rec {
  common =
    { name, ... }:
    {
      options = {
        enable = flag true "Whether the unit may run; false masks it.";
        name = mkOption { type = types.str; default = name; description = "The unit's name without its kind."; };
        description = mkOption { type = types.singleLineStr; default = ""; description = "Description=."; };
        documentation = strings "Documentation=.";
        overrideStrategy = mkOption {
          type = types.enum [ "asDropinIfExists" "asDropin" ];
          default = "asDropinIfExists";
          description = "Whether the text is a drop-in of a unit that is there already.";
        };
        requires = units "Requires=.";
        wants = units "Wants=.";
        upholds = units "Upholds=.";
        after = units "After=.";
        before = units "Before=.";
        bindsTo = units "BindsTo=.";
        partOf = units "PartOf=.";
        conflicts = units "Conflicts=.";
        requisite = units "Requisite=.";
        onFailure = units "OnFailure=.";
        onSuccess = units "OnSuccess=.";
        requiredBy = units "Units that require this one.";
        wantedBy = units "Units that want this one.";
        upheldBy = units "Units that uphold this one.";
        aliases = units "Other names.";
        startLimitBurst = mkOption { type = types.nullOr types.int; default = null; description = "StartLimitBurst=."; };
        startLimitIntervalSec = mkOption { type = types.nullOr types.int; default = null; description = "StartLimitIntervalSec=."; };
        unitConfig = section "Further lines of [Unit].";
        restartTriggers = mkOption { type = types.listOf types.unspecified; default = [ ]; description = "A change of these restarts the unit."; };
        reloadTriggers = mkOption { type = types.listOf unitOption; default = [ ]; description = "A change of these reloads the unit."; };
      };
    };

  kinds = {
    service =
      { config, ... }:
      {
        options = {
          serviceConfig = section "Lines of [Service].";
          environment = mkOption {
            type = types.attrsOf (types.nullOr (types.oneOf [ types.str types.path types.package ]));
            default = { };
            description = "Environment of the processes.";
          };
          path = mkOption { type = types.listOf (types.either types.package types.str); default = [ ]; description = "Packages whose programs are in PATH."; };
          script = script "Shell text of ExecStart.";
          scriptArgs = mkOption { type = types.str; default = ""; description = "Arguments of script."; };
          preStart = script "Shell text of ExecStartPre.";
          postStart = script "Shell text of ExecStartPost.";
          reload = script "Shell text of ExecReload.";
          preStop = script "Shell text of ExecStop.";
          postStop = script "Shell text of ExecStopPost.";
          restartIfChanged = flag true "Whether a switch restarts the unit when it changed.";
          reloadIfChanged = flag false "Whether a switch reloads it instead.";
          stopIfChanged = flag true "Whether such a restart is a stop before and a start after the activation.";
          notSocketActivated = flag false "Whether a changed unit is restarted even where a socket would start it.";
          startAt = mkOption { type = types.either types.str (types.listOf types.str); default = [ ]; apply = lib.toList; description = "When a timer starts it."; };
          enableDefaultPath = flag true "Whether PATH has the usual programs.";
          enableStrictShellChecks = flag false "Accepted and unused.";
          confinement.enable = flag false "Accepted and unused.";
        };
        config = {
          path = lib.mkIf config.enableDefaultPath (
            lib.mkAfter [
              pkgs.coreutils
              pkgs.findutils
              pkgs.gnugrep
              pkgs.gnused
              pkgs.systemd
            ]
          );
          # At the usual priority: another PATH takes mkForce.
          environment.PATH = lib.mkIf (
            config.path != [ ]
          ) "${lib.makeBinPath config.path}:${lib.makeSearchPath "sbin" config.path}";
        };
      };
    socket.options = {
      socketConfig = section "Lines of [Socket].";
      listenStreams = strings "ListenStream=.";
      listenDatagrams = strings "ListenDatagram=.";
    };
    timer.options.timerConfig = section "Lines of [Timer].";
    path.options.pathConfig = section "Lines of [Path].";
    slice.options.sliceConfig = section "Lines of [Slice].";
    target.options = { };
    mount.options = {
      what = mkOption { type = types.str; description = "What="; };
      where = mkOption { type = types.str; description = "Where="; };
      type = mkOption { type = types.str; default = ""; description = "Type="; };
      options = mkOption { type = types.commas; default = ""; description = "Options="; };
      mountConfig = section "Lines of [Mount].";
    };
  };
  # Units whose name is the attribute's.
  named = kind: types.attrsOf (types.submodule [ common kinds.${kind} ]);
}
