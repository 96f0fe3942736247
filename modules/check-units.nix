# Checks that are commands, for the agent, which may start no unit: it connects
# to a socket, and systemd runs the check's unit once for that connection, as the
# service's user and in its sandbox. The answer comes back on the connection.
# Names and paths are those of the Go package hostfacts: CheckUnit, CheckSockets.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  systemd = import ./systemd.nix { inherit lib; };
  evaluated = import ./evaluated.nix { inherit config lib; };
  credentials = import ./credentials.nix { inherit lib; };
  execCheck = import ./exec-check.nix { inherit config lib; };

  checks = lib.filterAttrs (_: c: c.kind == "exec") cfg.checks;

  unitName =
    name:
    "nixmesh-check-${builtins.replaceStrings [ "#" "@" ] [ ":" "." ] name}";

  # Nothing in it depends on the check: a switch leaves a changed socket as it
  # is, and the next connection gets the unit as it is then.
  socket = name: c: {
    description = "nixmesh: where the agent asks for the check ${name}";
    wantedBy = [ "sockets.target" ];
    listenStreams = [ "/run/nixmesh/checks/${name}" ];
    socketConfig = {
      Accept = true;
      MaxConnections = 1;
      SocketUser = "nixmesh-agent";
      SocketMode = "0600";
      DirectoryMode = "0755";
      RemoveOnStop = true;
      # A socket that fails would stay so; there is one who connects, and one
      # connection at a time.
      TriggerLimitIntervalSec = 0;
    };
  };

  service =
    name: c:
    let
      i = cfg.instances.${c.instance};
    in
    systemd.at c.place {
      description = "nixmesh: the check ${systemd.percent name}";
      # One that runs ends by itself; the next is as the new system says.
      restartIfChanged = false;
      environment = systemd.environment (execCheck.environment c i) // credentials.variables i;
      # Whatever became of it, the agent knows: it is no failed unit.
      unitConfig.CollectMode = "inactive-or-failed";
      serviceConfig =
        execCheck.sandbox i
        // {
          User = evaluated.user i;
          ExecStart = systemd.commandLine [
            "${cfg.package}/bin/nixmesh"
            "host"
            "check-exec"
            name
          ];
          StandardInput = "null";
          StandardOutput = "socket";
          StandardError = "journal";
          # It says itself that its time is over; this is for what cannot.
          RuntimeMaxSec = "${c.timeout} 3s";
          TimeoutStopSec = "1s";
          # Start and end of each run are no news.
          LogLevelMax = "notice";
          # No slice of its own, which would stay.
          Slice = "system.slice";
        }
        // lib.optionalAttrs (i.secrets != { }) {
          LoadCredential = map systemd.percent (execCheck.credentials c i);
        }
        // lib.optionalAttrs (i.secretEnv != [ ]) { EnvironmentFile = execCheck.environmentFiles c i; };
    };
in
{
  config = lib.mkIf (cfg.enable && cfg.agent.enable) {
    systemd.sockets = lib.mapAttrs' (name: c: lib.nameValuePair (unitName name) (socket name c)) checks;
    systemd.services = lib.mapAttrs' (
      name: c: lib.nameValuePair "${unitName name}@" (service name c)
    ) checks;
  };
}
