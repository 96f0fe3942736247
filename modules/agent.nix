# The host's part of the mesh: the agent, the node key that it speaks with, and
# the socket where people on the host ask it. Other facts need no restart: the
# agent reads host.json again when a switch replaced it.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  systemd = import ./systemd.nix { inherit lib; };
  credentials = import ./credentials.nix { inherit lib; };
  sandbox = import ./agent-sandbox.nix;

  node = "/var/lib/nixmesh/node";

  # An agent restarts where its program changed. What NixOS puts into every
  # unit's environment would change with each update of nixpkgs.
  bare.environment = {
    PATH = lib.mkForce null;
    LOCALE_ARCHIVE = null;
    TZDIR = null;
  };
in
{
  options.services.nixmesh.agent = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether this host has an agent, and is part of the mesh.";
    };

    roots = lib.mkOption {
      type = lib.types.str;
      description = "The CA's public roots in PEM, one or two.";
    };

    gossipKey = lib.mkOption {
      type = lib.types.path;
      description = "Age file of the key that the agents' membership packets are encrypted with; this host's SSH key opens it.";
    };
  };

  config = lib.mkIf (cfg.enable && cfg.agent.enable) {
    users.users = {
      nixmesh-agent = {
        isSystemUser = true;
        uid = 39998;
        group = "nixmesh";
        description = "agent of nixmesh";
      };
    }
    // lib.optionalAttrs (cfg.user != "root") { ${cfg.user}.extraGroups = [ "nixmesh" ]; };

    # Who is in it may ask the agent; what each may do there is the agent's to say.
    users.groups.nixmesh.gid = 39998;

    # It outlives the agent's restarts: who asks meanwhile waits.
    systemd.sockets.nixmesh-agent = {
      description = "nixmesh: where people on this host ask its agent";
      wantedBy = [ "sockets.target" ];
      listenStreams = [ "/run/nixmesh/api.sock" ];
      socketConfig = {
        FileDescriptorName = "api";
        SocketGroup = "nixmesh";
        SocketMode = "0660";
        DirectoryMode = "0755";
        RemoveOnStop = true;
        # An agent that cannot start must not take the socket with it.
        TriggerLimitIntervalSec = 0;
      };
    };

    systemd.services.nixmesh-agent = lib.mkMerge [
      bare
      {
        description = "nixmesh: the host's agent";
        wantedBy = [ "multi-user.target" ];
        requires = [ "nixmesh-agent.socket" ];
        # Not required: an agent that runs goes on with the keys it was given.
        # Without them it does not start, which a switch sees.
        wants = [
          "nixmesh-nodekey.service"
          "nixmesh-unseal.service"
        ];
        after = [
          "network.target"
          "nixmesh-agent.socket"
          "nixmesh-nodekey.service"
          "nixmesh-unseal.service"
        ];
        startLimitIntervalSec = 0;
        # Away for as short as possible, and its socket not at all.
        stopIfChanged = false;
        serviceConfig = sandbox.agent // {
          Type = "notify";
          NotifyAccess = "main";
          ExecStart = "${cfg.package}/bin/nixmesh agent";
          User = "nixmesh-agent";
          Group = "nixmesh";
          StateDirectory = "nixmesh/agent";
          StateDirectoryMode = "0700";
          # Keys of gateways: in memory, and there for the next process.
          RuntimeDirectory = "nixmesh/agent";
          RuntimeDirectoryMode = "0700";
          RuntimeDirectoryPreserve = true;
          LoadCredential = [
            "node.key:${node}/node.key"
            "node.cert:${node}/node.cert"
            "gossip.key:${credentials.gossip}"
          ];
          Restart = "always";
          # At once, and more rarely where it cannot start. systemd counts since the
          # last start by hand, so the longest wait is one that any crash may meet.
          RestartSec = "500ms";
          RestartSteps = 5;
          RestartMaxDelaySec = "5s";
          WatchdogSec = 30;
          TimeoutStartSec = 30;
          TimeoutStopSec = 10;
          MemoryHigh = "256M";
          MemoryMax = "512M";
          TasksMax = 512;
          LimitNOFILE = 65536;
        };
        environment.GOMEMLIMIT = "192MiB";
      }
    ];

    # The SSH host key signs the node key here, and never comes to the agent.
    systemd.services.nixmesh-nodekey = lib.mkMerge [
      bare
      {
        description = "nixmesh: the key by which the host's agent is known";
        # Whichever of them makes the host's keys.
        after = [
          "sshd-keygen.service"
          "sshd.service"
        ];
        stopIfChanged = false;
        serviceConfig = sandbox.nodekey // {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = systemd.commandLine [
            "${cfg.package}/bin/nixmesh"
            "host"
            "nodekey"
            "--dir"
            node
            "--host"
            cfg.host
            "--host-key"
            cfg.hostKey
          ];
          StateDirectory = "nixmesh/node";
          StateDirectoryMode = "0700";
        };
      }
    ];

    # The agent reads the gossip key when it starts. Another ciphertext may hold the
    # same key, for other hosts: with that it goes on.
    systemd.services.nixmesh-gossip-key = {
      description = "nixmesh: start the agent with a changed gossip key";
      wantedBy = [ "multi-user.target" ];
      wants = [ "nixmesh-unseal.service" ];
      after = [ "nixmesh-unseal.service" ];
      before = [ "nixmesh-agent.service" ];
      restartTriggers = [ (builtins.hashFile "sha256" cfg.agent.gossipKey) ];
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
      };
      # Without --no-block it would wait for the agent, which waits for it.
      script = ''
        given=/run/credentials/nixmesh-agent.service/gossip.key
        if [ -e "$given" ] && [ "$(cat "$given")" != "$(cat ${credentials.gossip})" ]; then
          systemctl try-restart --no-block nixmesh-agent.service
        fi
      '';
    };

    # Another host key signs a new certificate, with which the agent starts anew.
    systemd.paths.nixmesh-hostkey = {
      description = "nixmesh: watch the host's SSH key";
      wantedBy = [ "multi-user.target" ];
      pathConfig.PathChanged = systemd.percent cfg.hostKey;
    };
    systemd.services.nixmesh-hostkey = {
      description = "nixmesh: start the agent with a changed host key";
      serviceConfig = {
        Type = "oneshot";
        ExecStart = "${config.systemd.package}/bin/systemctl restart nixmesh-nodekey.service nixmesh-agent.service";
      };
    };
  };
}
