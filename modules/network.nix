# What this host takes from outside. Only openings: what is closed is the
# firewall's to say, and a host without one stays without one.
{ config, lib, ... }:
let
  cfg = config.services.nixmesh;
  firewall = config.networking.firewall;
  # Older package sets have no such option, and no firewalld.
  backend = firewall.backend or (if config.networking.nftables.enable then "nftables" else "iptables");
  ipv6 = lib.hasInfix ":";

  openings = builtins.attrValues cfg.openings;
  public = builtins.filter (o: o.from == null) openings;
  restricted = builtins.filter (o: o.from != null && o.from != [ ]) openings;
  publicPorts = protocol: map (o: o.port) (builtins.filter (o: o.protocol == protocol) public);

  # One rule for each family that has addresses.
  byFamily =
    rule: o:
    let
      v4 = builtins.filter (a: !ipv6 a) o.from;
      v6 = builtins.filter ipv6 o.from;
    in
    lib.optional (v4 != [ ]) (rule o "ip" "iptables" v4)
    ++ lib.optional (v6 != [ ] && config.networking.enableIPv6) (rule o "ip6" "ip6tables" v6);

  nft =
    o: family: _: from:
    "${family} saddr { ${lib.concatStringsSep ", " from} } ${o.protocol} dport ${toString o.port} accept comment \"nixmesh ${o.name}\"\n";

  iptables =
    o: _: program: from:
    "${program} -w -A nixos-fw -p ${o.protocol} -s ${lib.concatStringsSep "," from} --dport ${toString o.port} -j nixos-fw-accept\n";

  text = rule: lib.concatStrings (lib.concatMap (byFamily rule) restricted);

  peers = builtins.filter (a: a != cfg.address) cfg.addresses;
  toPeers = protocol: port: {
    inherit protocol port;
    from = peers;
  };
in
{
  options.services.nixmesh = {
    address = lib.mkOption {
      type = lib.types.str;
      default = "";
      example = "10.0.0.21";
      description = "Where this host is reached, and its address in the mesh. Nothing is configured from it.";
    };

    addresses = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      description = "Addresses of the fleet's hosts: the mesh's own ports are open to them.";
    };

    metricsFrom = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      example = [ "10.0.9.0/24" ];
      description = "Ranges that may scrape the agent's metrics.";
    };

    openings = lib.mkOption {
      default = { };
      description = "Ports that can be reached from outside, beside SSH.";
      type = lib.types.attrsOf (
        lib.types.submodule (
          { name, ... }:
          {
            options = {
              name = lib.mkOption {
                type = lib.types.strMatching "[a-z0-9-]+";
                default = name;
                description = "The opening's name.";
              };
              protocol = lib.mkOption {
                type = lib.types.enum [
                  "tcp"
                  "udp"
                ];
                description = "Protocol of the port.";
              };
              port = lib.mkOption {
                type = lib.types.port;
                description = "The port.";
              };
              from = lib.mkOption {
                type = lib.types.nullOr (lib.types.listOf lib.types.str);
                default = null;
                example = [ "10.0.0.0/24" ];
                description = "Addresses and ranges that may reach it. Null: everybody.";
              };
            };
          }
        )
      );
    };
  };

  config = lib.mkIf cfg.enable {
    # 7946 gossip, 7947 agent to agent, 15443 calls between services.
    services.nixmesh.openings = {
      gossip = toPeers "udp" 7946;
      gossip-stream = toPeers "tcp" 7946;
      agent = toPeers "tcp" 7947;
      mesh = toPeers "tcp" 15443;
      metrics = {
        protocol = "tcp";
        port = 7948;
        from = cfg.metricsFrom;
      };
    };

    networking.firewall = {
      allowedTCPPorts = publicPorts "tcp";
      allowedUDPPorts = publicPorts "udp";
      # Each of the two is refused, or passed over, by the other kind of firewall.
      extraInputRules = lib.mkIf (firewall.enable && backend == "nftables") (text nft);
      extraCommands = lib.mkIf (firewall.enable && backend == "iptables") (text iptables);
    };

    assertions = [
      {
        assertion = !firewall.enable || backend != "firewalld";
        message = "${cfg.place}: nixmesh opens its ports to the fleet's addresses in the firewall of NixOS, and networking.firewall.backend is firewalld here; set services.firewalld.enable = false, or networking.firewall.enable = false and open 7946, 7947 and 15443 to the fleet yourself";
      }
    ];
  };
}
