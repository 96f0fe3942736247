# The services that run on this host.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;

  listen = lib.types.submodule {
    options = {
      name = lib.mkOption {
        type = lib.types.str;
        default = "";
        description = "Name of the listen, empty where a service has only one.";
      };
      protocol = lib.mkOption {
        type = lib.types.enum [
          "http"
          "http2"
          "grpc"
          "tcp"
          "redis"
        ];
        description = "What is spoken on the port.";
      };
      address = lib.mkOption {
        type = lib.types.str;
        default = "127.0.0.1";
        description = "Where the application listens.";
      };
      port = lib.mkOption {
        type = lib.types.port;
        description = "The application's port, from the fleet's lock unless it is fixed.";
      };
    };
  };

  instance =
    { name, ... }:
    {
      options = {
        service = lib.mkOption {
          type = lib.types.str;
          default = name;
          description = "The service that this is an instance of.";
        };
        version = lib.mkOption {
          type = lib.types.str;
          default = "";
          example = "v1";
          description = "The service's version that this is an instance of, empty where it has none.";
        };
        place = lib.mkOption {
          type = lib.types.str;
          default = "services.nixmesh.instances.${name}";
          example = "nixmesh.hcl:55 (service \"web\")";
          description = "Where the service stands in the fleet's files, for messages; never part of the toplevel.";
        };
        package = lib.mkOption {
          type = lib.types.nullOr lib.types.package;
          default = null;
          description = "Package that the service runs. Null: `unit` names what another module runs.";
        };
        unit = lib.mkOption {
          type = lib.types.str;
          default = "${name}.service";
          example = "postgresql.service";
          description = "Its systemd unit.";
        };
        exec = lib.mkOption {
          type = lib.types.listOf lib.types.str;
          default = [ ];
          example = [
            "bin/web"
            "--listen"
            "127.0.0.1:\${PORT}"
          ];
          description = ''
            The command, one entry a word, without a shell. The first word is relative to the
            package unless it is absolute. `''${NAME}` is a variable of the environment, `$$` a
            dollar; everything else is taken as it stands.
          '';
        };
        beforeStart = lib.mkOption {
          type = lib.types.listOf (lib.types.listOf lib.types.str);
          default = [ ];
          example = [ [ "bin/web" "migrate" ] ];
          description = ''
            Commands, written as `exec`, that run before it with the service's identity and
            sandbox. One that fails makes the start fail.
          '';
        };
        schedule = lib.mkOption {
          type = lib.types.nullOr lib.types.str;
          default = null;
          example = "*-*-* 03:30:00";
          description = ''
            Calendar of systemd. The service is a job then: a timer starts it, and neither a
            boot nor a switch does.
          '';
        };
        restart = lib.mkOption {
          type = lib.types.enum [
            "always"
            "on-failure"
            "never"
          ];
          default = "always";
          description = ''
            When it is started again after it ended. A service that may end well stays active
            then, as far as systemd is concerned.
          '';
        };
        startAfter = lib.mkOption {
          type = lib.types.listOf lib.types.str;
          default = [ ];
          example = [
            "postgresql.service"
            "network-online.target"
          ];
          description = "Units that are started before it. A target is also asked for.";
        };
        environment = lib.mkOption {
          type = lib.types.attrsOf lib.types.str;
          default = { };
          description = "Environment variables beside those that nixmesh gives.";
        };
        user = lib.mkOption {
          type = lib.types.nullOr lib.types.str;
          default = null;
          example = "nm-web";
          description = "The user it runs as. Null, with another module's unit: that unit's own.";
        };
        uid = lib.mkOption {
          type = lib.types.nullOr lib.types.ints.unsigned;
          default = null;
          description = "Uid of `user`, from the fleet's lock.";
        };
        listens = lib.mkOption {
          type = lib.types.listOf listen;
          default = [ ];
          description = "Ports that the service offers, the first one first.";
        };
        harden = lib.mkOption {
          type = lib.types.enum [
            "default"
            "strict"
            "off"
          ];
          default = "default";
          description = ''
            The sandbox. `default`: no new privileges, no capabilities, private /tmp and devices,
            a read-only system, no home, a protected kernel. `strict` adds a system call filter,
            address families, private users, invisible processes, and hides other services' sockets
            in /run. `off`: the user only. Each setting is a default that other modules may replace.
          '';
        };
        jit = lib.mkOption {
          type = lib.types.bool;
          default = true;
          description = "Whether memory may be made executable, as programs that compile at run time need.";
        };
        limits = {
          memory = lib.mkOption {
            type = lib.types.nullOr lib.types.ints.positive;
            default = null;
            description = "Most memory in bytes; beyond it the kernel ends the service.";
          };
          cpu = lib.mkOption {
            type = lib.types.nullOr lib.types.str;
            default = null;
            example = "150%";
            description = "Most processor time; 150% is one and a half cores.";
          };
          tasks = lib.mkOption {
            type = lib.types.nullOr lib.types.ints.positive;
            default = null;
            description = "Most processes and threads.";
          };
          files = lib.mkOption {
            type = lib.types.nullOr lib.types.ints.positive;
            default = null;
            description = "Most open files of one process.";
          };
        };
        stopTimeout = lib.mkOption {
          type = lib.types.nullOr lib.types.str;
          default = null;
          example = "30s";
          description = "How long the service may take to stop before it is killed. Null: systemd's default.";
        };
      };
    };
in
{
  options.services.nixmesh.instances = lib.mkOption {
    type = lib.types.attrsOf (lib.types.submodule instance);
    default = { };
    description = "The services on this host, by instance.";
  };

  config = lib.mkIf cfg.enable {
    assertions = lib.concatLists (
      lib.mapAttrsToList (_: i: [
        {
          assertion = lib.hasSuffix ".service" i.unit;
          message = "${i.place}: ${i.unit} is not a service unit; name one that ends in .service";
        }
        {
          assertion = i.package == null || (i.exec != [ ] && i.user != null);
          message = "${i.place}: a service with a package needs exec and user";
        }
      ]) cfg.instances
    );
  };
}
