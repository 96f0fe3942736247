# The kernel's table that says who may connect where: callers to the mesh's
# names, and Envoy to the applications. A function of the evaluated
# configuration that gives the text for nft, not a module.
#
# A connection of a declared caller to a mesh name is sent to that caller's own
# listener of Envoy. Everything else that is refused is refused at once, with a
# reset. Who answers on a port of Envoy's or of an application is held to be its
# user, so that a port whose owner is dead is nobody else's.
#
# The comment says which table it is: who sees it loaded knows that it is whole.
#
# A copy is owned by who loads it (the kernel's flag): nobody else can flush or
# change it, and it goes with its owner. It comes after the table, and finds
# what that refuses refused already.
{
  config,
  lib,
  copy ? false,
}:
let
  cfg = config.services.nixmesh;
  evaluated = import ./evaluated.nix { inherit config lib; };

  envoy = "39999";
  agent = "39998";

  instances = builtins.attrValues cfg.instances;

  # Whom no module gives a number is told by its name, which nft looks up.
  who = i: if evaluated.uid i < 0 then "\"${evaluated.user i}\"" else toString (evaluated.uid i);

  edgesOf =
    e:
    lib.concatMap (
      i: map (port: "${who i} . ${e.address} . ${toString port} : 127.65.0.1 . ${toString e.edgePort}") e.ports
    ) (builtins.filter (i: i.service == e.caller) instances);

  # A port that is also called in the clear is open to everybody, as it was
  # before nixmesh.
  strict = builtins.filter (i: i.mtls == "strict") instances;
  permissive = builtins.filter (i: i.mtls == "permissive") instances;
  ports = lib.concatMap (i: map (l: toString l.port) i.listens);

  # What root binds, another user may serve: a program that gives up its rights.
  ofUsers = builtins.filter (i: evaluated.uid i != 0) instances;
  owners = lib.concatMap (i: map (l: "${toString l.port} . ${who i}") i.listens);

  declared = builtins.filter (i: i.egress == "declared") instances;

  elements =
    list:
    lib.optionalString (list != [ ]) "\n    elements = {\n${
      lib.concatMapStringsSep ",\n" (e: "      ${e}") (lib.unique (builtins.sort builtins.lessThan list))
    }\n    }";

  name = if copy then "nixmesh_copy" else "nixmesh";

  text = ''
    table inet ${name}
    delete table inet ${name}
    table inet ${name} {
      comment "nixmesh @table@"${lib.optionalString copy "\n  flags owner"}

      # caller . address of the mesh name . port : Envoy's listener for that caller
      map edge {
        type uid . ipv4_addr . inet_service : ipv4_addr . inet_service${elements (lib.concatMap edgesOf (builtins.attrValues cfg.edges))}
      }
      # Ports of applications, wherever they listen. What the same numbers are in UDP
      # is no part of the mesh: a resolver's 53 stays as it is.
      set app_ports {
        type inet_service${elements (ports strict)}
      }
      set app_plain {
        type inet_service${elements (ports permissive)}
      }
      # Ports that nobody but their owner answers on.
      set app_owned {
        type inet_service${elements (ports ofUsers)}
      }
      set app_owner {
        type inet_service . uid${elements (owners instances)}
      }
      set app_callers {
        type uid
        elements = { ${agent}, ${envoy} }
      }
      # egress = "declared"
      set declared {
        type uid${elements (map who declared)}
      }

      counter undeclared { }
      counter app_denied { }
      counter egress_denied { }
      counter squatted { }
      counter outside { }
      counter plaintext { }

      chain nat_output {
        type nat hook output priority ${if copy then "-99" else "-100"}; policy accept;
        ip daddr 127.64.0.0/16 meta l4proto tcp dnat ip to meta skuid . ip daddr . tcp dport map @edge
      }

      chain output {
        type filter hook output priority ${if copy then "-9" else "-10"}; policy accept;
        ct direction reply goto reply
        ct state established,related accept
        ip daddr 127.64.0.0/16 goto refuse
        ip daddr 127.65.0.1 ct status dnat accept
        ip daddr 127.65.0.0/16 goto refuse
        fib daddr type local tcp dport @app_ports goto application
        fib daddr type local tcp dport @app_plain goto plain
        meta skuid @declared fib daddr type != local goto refuse_egress
      }

      # A packet of nobody's is refused, too.
      chain application {
        meta skuid @app_callers accept
        tcp dport . meta skuid @app_owner accept
        counter name app_denied reject with tcp reset
      }

      chain plain {
        meta skuid @app_callers accept
        tcp dport . meta skuid @app_owner accept
        counter name plaintext accept
      }

      # Root holds what systemd listens on for a service.
      chain reply {
        ip saddr 127.65.0.0/16 meta skuid != ${envoy} counter name squatted drop
        meta skuid 0 accept
        tcp sport @app_owned fib saddr type local tcp sport . meta skuid != @app_owner counter name squatted drop
      }

      chain refuse {
        counter name undeclared
        meta l4proto tcp reject with tcp reset
        reject with icmpx admin-prohibited
      }

      chain refuse_egress {
        counter name egress_denied
        meta l4proto tcp reject with tcp reset
        reject with icmpx admin-prohibited
      }

      chain input {
        type filter hook input priority ${if copy then "-9" else "-10"}; policy accept;
        iif lo accept
        ct state established,related accept
        ip daddr 127.64.0.0/15 counter name outside drop
        tcp dport @app_ports counter name outside drop
        tcp dport @app_plain counter name plaintext
      }
    }
  '';
in
builtins.replaceStrings [ "@table@" ] [ (builtins.hashString "sha256" text) ] text
