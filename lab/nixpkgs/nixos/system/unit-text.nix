# Unit options to unit files: each function gives { name, text, … }.
{ lib, pkgs }:
let
  asText = v: if v == true then "true" else if v == false then "false" else toString v;
  # Null is an empty value, which takes back what stood before.
  line = key: v: "${key}=${asText v}\n";
  lines = set: lib.concatStrings (lib.mapAttrsToList (key: v: lib.concatMapStrings (line key) (if builtins.isList v then v else [ v ])) set);
  section = name: set: lib.optionalString (set != { }) "[${name}]\n${lines set}\n";
  nonEmpty = lib.filterAttrs (_: v: v != [ ] && v != "" && v != null);
  joined = lib.mapAttrs (_: v: if builtins.isList v then lib.concatStringsSep " " v else v);

  # Triggers only have to differ when their meaning does: paths as they are, longer texts by their hash.
  trigger =
    value:
    let
      s = if builtins.isAttrs value && !(lib.isStringLike value) || builtins.isList value then builtins.toJSON value else toString value;
    in
    if builtins.match "[^\n ]{0,300}" s == null then builtins.hashString "sha256" s else s;
  triggers = list: lib.concatMapStringsSep " " trigger (lib.flatten list);

  unitSection =
    u:
    section "Unit" (
      joined (
        nonEmpty {
          Description = u.description;
          Documentation = u.documentation;
          Requires = u.requires;
          Wants = u.wants;
          Upholds = u.upholds;
          After = u.after;
          Before = u.before;
          BindsTo = u.bindsTo;
          PartOf = u.partOf;
          Conflicts = u.conflicts;
          Requisite = u.requisite;
          OnFailure = u.onFailure;
          OnSuccess = u.onSuccess;
          StartLimitBurst = u.startLimitBurst;
          StartLimitIntervalSec = u.startLimitIntervalSec;
          X-Restart-Triggers = triggers u.restartTriggers;
          X-Reload-Triggers = triggers u.reloadTriggers;
        }
      )
      // u.unitConfig
    );

  unit = kind: body: u: {
    name = "${u.name}.${kind}";
    inherit (u)
      enable
      overrideStrategy
      wantedBy
      requiredBy
      upheldBy
      aliases
      ;
    text = unitSection u + body u;
  };
in
{
  service =
    globalEnvironment:
    unit "service" (
      s:
      let
        scriptName = lib.replaceStrings [ "@" "\\" ] [ "-" "-" ] s.name;
        shell =
          phase: text:
          lib.optional (text != "") "${
            pkgs.writeTextFile {
              name = "unit-script-${scriptName}-${phase}";
              destination = "/bin/${scriptName}-${phase}";
              executable = true;
              text = "#!${pkgs.runtimeShell}\nset -e\n${text}";
            }
          }/bin/${scriptName}-${phase}";
        commands = key: scripts: lib.toList (s.serviceConfig.${key} or [ ]) ++ scripts;
        scripted = lib.filterAttrs (_: v: v != [ ]) {
          ExecStart = commands "ExecStart" (map (p: if s.scriptArgs == "" then p else "${p} ${s.scriptArgs}") (shell "start" s.script));
          ExecStartPre = shell "pre-start" s.preStart ++ lib.toList (s.serviceConfig.ExecStartPre or [ ]);
          ExecStartPost = commands "ExecStartPost" (shell "post-start" s.postStart);
          ExecReload = commands "ExecReload" (shell "reload" s.reload);
          ExecStop = commands "ExecStop" (shell "pre-stop" s.preStop);
          ExecStopPost = commands "ExecStopPost" (shell "post-stop" s.postStop);
        };
        environment = lib.filterAttrs (_: v: v != null) (globalEnvironment // s.environment);
      in
      "[Service]\n"
      + lib.concatStrings (lib.mapAttrsToList (n: v: "Environment=${builtins.toJSON "${n}=${v}"}\n") environment)
      + lib.optionalString s.reloadIfChanged "X-ReloadIfChanged=true\n"
      + lib.optionalString (!s.reloadIfChanged && !s.restartIfChanged) "X-RestartIfChanged=false\n"
      + lib.optionalString (!s.stopIfChanged) "X-StopIfChanged=false\n"
      + lib.optionalString s.notSocketActivated "X-NotSocketActivated=true\n"
      + lines (s.serviceConfig // scripted)
    );
  socket = unit "socket" (
    s:
    section "Socket" (
      lib.optionalAttrs (s.listenStreams != [ ]) { ListenStream = s.listenStreams; }
      // lib.optionalAttrs (s.listenDatagrams != [ ]) { ListenDatagram = s.listenDatagrams; }
      // s.socketConfig
    )
  );
  timer = unit "timer" (t: section "Timer" t.timerConfig);
  path = unit "path" (p: section "Path" p.pathConfig);
  slice = unit "slice" (s: section "Slice" s.sliceConfig);
  target = unit "target" (_: "");
  mount = unit "mount" (
    m:
    section "Mount" (
      nonEmpty {
        What = m.what;
        Where = m.where;
        Type = m.type;
        Options = m.options;
      }
      // m.mountConfig
    )
  );
}
