# The calls that services of this host may make. The kernel tells callers
# apart by their uid, so each needs one of its own that stays. Versions and
# instances of a service are one caller.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  evaluated = import ./evaluated.nix { inherit config lib; };

  callers = edge: builtins.filter (i: i.service == edge.caller) (builtins.attrValues cfg.instances);

  fix = edge: "add user = \"${edge.caller}\" to the service, then it runs as that user";

  # What keeps a caller from being told from others, null = nothing.
  unknown =
    i:
    if evaluated.dynamic i then
      "runs as a user that systemd makes up at each start (DynamicUser)"
    else if evaluated.uid i == 0 then
      "runs as root"
    else if evaluated.uid i < 0 then
      "runs as ${evaluated.user i}, whose uid no module fixes"
    else
      null;

  calls = i: builtins.any (edge: edge.caller == i.service) (builtins.attrValues cfg.edges);

  # Instances of other services whose uid is a caller's. Of two that both call
  # the first one says it.
  others =
    i:
    builtins.filter (
      o: o.service != i.service && evaluated.uid o == evaluated.uid i && !(calls o && o.service < i.service)
    ) (builtins.attrValues cfg.instances);

  shared = lib.concatMap (i: map (o: { inherit i o; }) (others i)) (
    builtins.filter (i: calls i && unknown i == null) (builtins.attrValues cfg.instances)
  );

  # Which of the two has not the name of the user that they share.
  another = i: o: if i.service != evaluated.user i then i.service else o.service;
in
{
  options.services.nixmesh.edges = lib.mkOption {
    default = { };
    description = "Calls that services of this host may make, by caller and upstream.";
    type = lib.types.attrsOf (
      lib.types.submodule (
        { name, ... }:
        {
          options = {
            place = lib.mkOption {
              type = lib.types.str;
              default = "services.nixmesh.edges.${name}";
              description = "Where the upstream stands in the fleet's files, for messages; never part of the toplevel.";
            };
            caller = lib.mkOption {
              type = lib.types.str;
              description = "The service that calls.";
            };
            upstream = lib.mkOption {
              type = lib.types.str;
              description = "The service or external that is called.";
            };
            listen = lib.mkOption {
              type = lib.types.str;
              default = "";
              description = "The upstream's listen, empty where it has no name.";
            };
            protocol = lib.mkOption {
              type = lib.types.str;
              example = "http";
              description = "What is spoken.";
            };
            address = lib.mkOption {
              type = lib.types.str;
              example = "127.64.0.1";
              description = "The upstream's address, in 127.64.0.0/16.";
            };
            ports = lib.mkOption {
              type = lib.types.listOf lib.types.port;
              example = [ 80 ];
              description = "The upstream's ports, as the caller says them.";
            };
            edgePort = lib.mkOption {
              type = lib.types.port;
              example = 15900;
              description = "Where this host's Envoy takes the caller's connections, from the fleet's lock.";
            };
          };
        }
      )
    );
  };

  config = lib.mkIf cfg.enable {
    assertions = lib.concatLists (
      lib.mapAttrsToList (
        _: edge:
        map (i: {
          assertion = unknown i == null;
          message = "${edge.place}: ${i.unit} ${unknown i}, so nobody can tell its calls to ${edge.upstream} from others'; ${fix edge}";
        }) (callers edge)
      ) cfg.edges
    )
    ++ map (
      { i, o }:
      {
        assertion = false;
        message = "${i.place}: on this host ${i.unit} and ${o.unit} of service \"${o.service}\" both run as ${evaluated.user i}, so the calls of one would be the other's; give ${another i o} a user of its own: user = \"${another i o}\"";
      }
    ) shared;
  };
}
