# The units of services with a package: one unit and one user each.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  systemd = import ./systemd.nix { inherit lib; };
  hardening = import ./hardening.nix { inherit lib; };

  packaged = lib.filterAttrs (_: i: i.package != null) cfg.instances;

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

  unit = _: i: {
    name = systemd.attribute i.unit;
    value = systemd.at i.place {
      description = "${i.service} (nixmesh)";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" ];
      # Restarted for as long as it takes, ever more slowly; a deploy sees the
      # restarts and reverts.
      startLimitIntervalSec = 0;
      environment =
        lib.mapAttrs (_: systemd.percent) i.environment
        // ports i
        // {
          NIXMESH_HOST = cfg.host;
          NIXMESH_SERVICE = i.service;
        };
      serviceConfig = {
        # The start fails if the program cannot be executed.
        Type = lib.mkDefault "exec";
        ExecStart = systemd.commandLine (systemd.absolute i.package i.exec);
        User = i.user;
        Group = i.user;
        StateDirectory = i.service;
        CacheDirectory = i.service;
        RuntimeDirectory = i.service;
        # What a service keeps is nobody else's; sockets in /run may be.
        StateDirectoryMode = lib.mkDefault "0750";
        CacheDirectoryMode = lib.mkDefault "0750";
        Restart = lib.mkDefault "always";
        RestartSec = lib.mkDefault "1s";
        RestartSteps = lib.mkDefault 6;
        RestartMaxDelaySec = lib.mkDefault "30s";
      }
      // hardening.of i
      // systemd.limits i;
    };
  };
in
{
  config = lib.mkIf cfg.enable {
    systemd.services = lib.mapAttrs' unit packaged;

    users.users = lib.mapAttrs' (_: i: {
      name = i.user;
      value = systemd.at i.place {
        isSystemUser = true;
        group = i.user;
        uid = i.uid;
        description = "service ${i.service} of nixmesh";
      };
    }) packaged;

    users.groups = lib.mapAttrs' (_: i: {
      name = i.user;
      value.gid = i.uid;
    }) packaged;
  };
}
