# Which host of which fleet this is.
{ lib, ... }:
{
  options.services.nixmesh = {
    enable = lib.mkOption {
      type = lib.types.bool;
      default = false;
      description = "Whether this host is run by nixmesh.";
    };

    fleet = lib.mkOption {
      type = lib.types.strMatching "[a-z][a-z0-9-]{0,30}";
      example = "shop";
      description = "Name of the fleet. A host refuses toplevels of another fleet.";
    };

    host = lib.mkOption {
      type = lib.types.strMatching "[a-z][a-z0-9-]{0,30}";
      example = "app1";
      description = "Name of this host in the fleet. A host refuses toplevels of another host.";
    };

    place = lib.mkOption {
      type = lib.types.str;
      default = "services.nixmesh";
      example = "nixmesh.hcl:21 (host \"app1\")";
      description = ''
        Where the host stands in the fleet's files, for messages. It is never part of the
        toplevel: a comment added to the HCL must not change a system.
      '';
    };
  };
}
