# The host's one Envoy. What it routes its agent tells it, on a socket: nothing in
# the unit or in the configuration that it starts with depends on the services of
# the host, so that neither changes with them. A switch leaves it running; the
# deployer restarts it, drained, where the package or this file changed.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.nixmesh;
  own = cfg.envoy;
  sandbox = import ./agent-sandbox.nix;
  bootstrap = import ./envoy-bootstrap.nix { inherit lib pkgs cfg; };

  # How many threads there may be only the host knows: half of its cores, since
  # they are for its services.
  program = pkgs.writeShellScript "nixmesh-envoy" ''
    ${
      if own.concurrency != null then
        "threads=${toString own.concurrency}"
      else
        ''
          threads=$((($(${pkgs.coreutils}/bin/nproc) + 1) / 2))
          if [ "$threads" -gt 8 ]; then threads=8; fi''
    }
    exec ${own.package}/bin/envoy --config-path ${bootstrap.file} --concurrency "$threads" ${bootstrap.flags}
  '';
in
{
  options.services.nixmesh.envoy = {
    package = lib.mkOption {
      type = lib.types.package;
      default =
        pkgs.envoy-bin
          or (throw "${cfg.place}: this nixpkgs has no envoy-bin; set services.nixmesh.envoy.package to an Envoy of 1.37 or newer");
      defaultText = lib.literalMD "`pkgs.envoy-bin`, the official binary";
      description = "Package with `bin/envoy`, 1.37 or newer.";
    };

    memory = lib.mkOption {
      type = lib.types.ints.between 128 1048576;
      default = 1024;
      description = ''
        What Envoy may use, in MiB. At 85 % of four fifths of it Envoy gives memory back,
        from 90 % on it refuses work step by step, and beyond the whole the kernel ends it.
      '';
    };

    concurrency = lib.mkOption {
      type = lib.types.nullOr lib.types.ints.positive;
      default = null;
      description = "Threads that move traffic. Null: half of the host's cores, at most 8.";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.agent.enable) {
    assertions = [
      {
        assertion = lib.versionAtLeast (lib.getVersion own.package) "1.37";
        message = "${cfg.place}: services.nixmesh.envoy.package is Envoy ${lib.getVersion own.package}, and nixmesh needs 1.37 or newer; set it to a package that is";
      }
    ];

    users.users.nixmesh-envoy = {
      isSystemUser = true;
      uid = 39999;
      group = "nixmesh-envoy";
      description = "Envoy of nixmesh";
    };
    # Who is in it reaches Envoy's admin interface: its agent.
    users.groups.nixmesh-envoy.gid = 39999;

    # It outlives the agent's restarts: Envoy waits in it.
    systemd.sockets.nixmesh-agent-xds = {
      description = "nixmesh: where Envoy asks its agent what to do";
      wantedBy = [ "sockets.target" ];
      # The agent's sockets come and go as one.
      partOf = [ "nixmesh-agent.socket" ];
      listenStreams = [ "/run/nixmesh/xds.sock" ];
      socketConfig = {
        Service = "nixmesh-agent.service";
        FileDescriptorName = "xds";
        SocketGroup = "nixmesh-envoy";
        SocketMode = "0660";
        DirectoryMode = "0755";
        RemoveOnStop = true;
        # Envoy asks again and again: that must not end it.
        TriggerLimitIntervalSec = 0;
      };
    };
    systemd.services.nixmesh-agent = {
      requires = [ "nixmesh-agent-xds.socket" ];
      after = [ "nixmesh-agent-xds.socket" ];
      # Metrics, and whether requests are under way.
      serviceConfig.SupplementaryGroups = "nixmesh-envoy";
    };

    # The folder belongs to the unit; this is the name that stays.
    systemd.tmpfiles.settings."10-nixmesh"."/run/nixmesh/envoy-admin.sock"."L+".argument = bootstrap.adminSocket;

    systemd.services.nixmesh-envoy = {
      description = "nixmesh: the host's Envoy";
      wantedBy = [ "multi-user.target" ];
      wants = [ "nixmesh-agent-xds.socket" ];
      after = [
        "network.target"
        "nixmesh-agent-xds.socket"
      ];
      # The deployer does it, when callers elsewhere have been told.
      restartIfChanged = false;
      startLimitIntervalSec = 0;
      environment = {
        PATH = lib.mkForce null;
        LOCALE_ARCHIVE = null;
        TZDIR = null;
      };
      serviceConfig = sandbox.envoy // {
        Type = "exec";
        ExecStart = program;
        # Until it answers; whether it has its listeners is the agent's to say.
        ExecStartPost = "${cfg.package}/bin/nixmesh agent envoy-answers --socket ${bootstrap.adminSocket}";
        User = "nixmesh-envoy";
        Group = "nixmesh-envoy";
        RuntimeDirectory = "nixmesh/envoy";
        RuntimeDirectoryMode = "0750";
        Restart = "always";
        # At once, and more rarely where it cannot start.
        RestartSec = "100ms";
        RestartSteps = 6;
        RestartMaxDelaySec = "5s";
        TimeoutStartSec = 20;
        # It ends its connections and exits within two seconds.
        TimeoutStopSec = 10;
        MemoryMax = toString (own.memory * 1024 * 1024);
        TasksMax = 512;
        LimitNOFILE = 1048576;
        SyslogIdentifier = "nixmesh-envoy";
      };
    };
  };
}
