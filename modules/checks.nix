# Health checks of the services on this host. The verification of a switch runs
# them, and the agent over and over.
{ lib, ... }:
let
  duration = lib.types.strMatching "([0-9]+(\\.[0-9]+)?(ns|us|µs|ms|s|m|h))+";

  check =
    { name, ... }:
    {
      options = {
        instance = lib.mkOption {
          type = lib.types.str;
          description = "The instance that is checked: a name of services.nixmesh.instances.";
        };
        place = lib.mkOption {
          type = lib.types.str;
          default = "services.nixmesh.checks.${name}";
          description = "Where the check stands in the fleet's files, for messages; never part of the toplevel.";
        };
        kind = lib.mkOption {
          type = lib.types.enum [
            "http"
            "tcp"
            "grpc"
            "exec"
          ];
          description = ''
            `http`: the answer's status is 2xx. `tcp`: the port accepts a connection. `grpc`: the
            standard health service says SERVING. `exec`: the command ends with 0.
          '';
        };
        address = lib.mkOption {
          type = lib.types.str;
          default = "";
          example = "127.0.0.1:20002";
          description = "Where http, tcp and grpc connect to.";
        };
        path = lib.mkOption {
          type = lib.types.str;
          default = "";
          example = "/healthz";
          description = "Path of an http check.";
        };
        http2 = lib.mkOption {
          type = lib.types.bool;
          default = false;
          description = "Whether an http check speaks HTTP/2 without an upgrade.";
        };
        grpc = lib.mkOption {
          type = lib.types.str;
          default = "";
          description = "Service name of a grpc check; empty asks for the whole server.";
        };
        exec = lib.mkOption {
          type = lib.types.listOf lib.types.str;
          default = [ ];
          description = "Command of an exec check, written as in `instances.<name>.exec`.";
        };
        package = lib.mkOption {
          type = lib.types.nullOr lib.types.package;
          default = null;
          description = "Package of an exec check's command. Null: the instance's own.";
        };
        every = lib.mkOption {
          type = duration;
          default = "5s";
          description = "Time between two checks of a running service. A switch checks more often.";
        };
        timeout = lib.mkOption {
          type = duration;
          default = "3s";
          description = "A check without an answer by then has failed.";
        };
        after = lib.mkOption {
          type = duration;
          default = "0s";
          description = "Time after the unit's start before failures count.";
        };
        rise = lib.mkOption {
          type = lib.types.ints.positive;
          default = 2;
          description = "Passes in a row that make a service healthy.";
        };
        fall = lib.mkOption {
          type = lib.types.ints.positive;
          default = 3;
          description = "Failures in a row that make a service unhealthy.";
        };
      };
    };
in
{
  options.services.nixmesh.checks = lib.mkOption {
    type = lib.types.attrsOf (lib.types.submodule check);
    default = { };
    description = "Health checks, by a name that is unique on the host.";
  };
}
