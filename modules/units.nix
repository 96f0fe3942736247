# The units of services with a package: one user for a service, one unit for
# each of its instances, and a timer where it is a job.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  systemd = import ./systemd.nix { inherit lib; };
  hardening = import ./hardening.nix { inherit lib; };

  packaged = lib.filterAttrs (_: i: i.package != null) cfg.instances;
  jobs = lib.filterAttrs (_: i: i.schedule != null) packaged;

  # PORT is the only or first listen; a named listen has PORT_<NAME>, too.
  ports =
    i:
    lib.optionalAttrs (i.listens != [ ]) { PORT = toString (builtins.head i.listens).port; }
    // builtins.listToAttrs (
      map (l: {
        name = "PORT_${lib.toUpper (builtins.replaceStrings [ "-" ] [ "_" ] l.name)}";
        value = toString l.port;
      }) (builtins.filter (l: l.name != "") i.listens)
    );

  command = i: words: systemd.commandLine (systemd.absolute i.package words);

  # What a service and a job have in common.
  process =
    i:
    {
      ExecStart = command i i.exec;
      User = i.user;
      Group = i.user;
      WorkingDirectory = lib.mkDefault (home i);
      StateDirectory = i.service;
      CacheDirectory = i.service;
      RuntimeDirectory = i.service;
      # What a service keeps is nobody else's; sockets in /run may be.
      StateDirectoryMode = lib.mkDefault "0750";
      CacheDirectoryMode = lib.mkDefault "0750";
      # What a JVM ends with when it is told to stop.
      SuccessExitStatus = lib.mkDefault 143;
    }
    // lib.optionalAttrs (i.beforeStart != [ ]) { ExecStartPre = map (command i) i.beforeStart; }
    // lib.optionalAttrs (shared i) { RuntimeDirectoryPreserve = lib.mkDefault true; }
    // hardening.of i
    // systemd.limits i;

  home = i: "/var/lib/${i.service}";

  # Whether other units use the same folders: the end of one must not take the
  # runtime folder from the others. A version always shares, so that a second
  # one changes no unit of the first.
  shared =
    i:
    i.version != ""
    || builtins.length (builtins.filter (o: o.service == i.service) (builtins.attrValues packaged)) > 1;

  service = i: {
    wantedBy = [ "multi-user.target" ];
    # Restarted for as long as it takes, ever more slowly; a deploy sees the
    # restarts and reverts.
    startLimitIntervalSec = 0;
    serviceConfig = {
      # The start fails if the program cannot be executed.
      Type = lib.mkDefault "exec";
      Restart = lib.mkDefault (if i.restart == "never" then "no" else i.restart);
      RestartSec = lib.mkDefault "1s";
      RestartSteps = lib.mkDefault 6;
      RestartMaxDelaySec = lib.mkDefault "30s";
    }
    # One that has ended well is done, which is not the same as not started.
    // lib.optionalAttrs (i.restart != "always") { RemainAfterExit = lib.mkDefault true; }
    # A migration may take as long as the switch that waits for it.
    // lib.optionalAttrs (i.beforeStart != [ ]) {
      TimeoutStartSec = lib.mkDefault cfg.rollout.activateTimeout;
    };
  };

  # Only its timer starts it; a run that is under way outlives a switch.
  job = _: {
    restartIfChanged = false;
    serviceConfig.Type = "oneshot";
  };

  unit =
    i:
    let
      own = (if i.schedule == null then service else job) i;
    in
    systemd.at i.place (
      own
      // {
        description = "${i.service}${lib.optionalString (i.version != "") " ${i.version}"} (nixmesh)";
        after = [ "network.target" ] ++ i.startAfter;
        wants = systemd.targets i.startAfter;
        environment =
          systemd.environment i.environment
          // ports i
          // {
            NIXMESH_HOST = cfg.host;
            NIXMESH_SERVICE = i.service;
            NIXMESH_VERSION = i.version;
          };
        serviceConfig = own.serviceConfig // process i;
      }
    );

  # The clock is kept to the second, and what was missed while the host was
  # down is made up for once it is up.
  timer =
    i:
    systemd.at i.place {
      description = "${i.service} at ${systemd.percent i.schedule} (nixmesh)";
      wantedBy = [ "timers.target" ];
      timerConfig = {
        OnCalendar = i.schedule;
        AccuracySec = lib.mkDefault "1s";
        Persistent = lib.mkDefault true;
      };
    };

  # A unit that goes away would become an instance of a template of its name.
  template = i: systemd.template i.unit;
  clashes = i: template i != null && config.systemd.services ? ${template i};

  byUnit = make: lib.mapAttrs' (_: i: lib.nameValuePair (systemd.attribute i.unit) (make i));
in
{
  config = lib.mkIf cfg.enable {
    systemd.services = byUnit unit packaged;
    systemd.timers = byUnit timer jobs;

    users.users = lib.mapAttrs' (
      _: i:
      lib.nameValuePair i.user (
        systemd.at i.place {
          isSystemUser = true;
          group = i.user;
          uid = i.uid;
          home = home i;
          description = "service ${i.service} of nixmesh";
        }
      )
    ) packaged;

    users.groups = lib.mapAttrs' (_: i: lib.nameValuePair i.user { gid = i.uid; }) packaged;

    assertions = lib.mapAttrsToList (_: i: {
      assertion = !clashes i;
      message = "${i.place}: another module makes ${template i}.service, and systemd would take that for ${i.unit} once this is gone; give the service another name";
    }) packaged;
  };
}
