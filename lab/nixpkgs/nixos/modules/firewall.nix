# networking.firewall and networking.nftables: tables of nftables. Without networking.nftables the real module set uses
# iptables for the firewall; here it is one table either way, loaded by firewall.service or nftables.service.
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.networking.firewall;
  nft = config.networking.nftables;
  flag = default: description: mkOption { type = types.bool; inherit default description; };
  ranges = mkOption { type = types.listOf (types.attrsOf types.port); default = [ ]; description = "Ranges { from, to }."; };
  ports = mkOption { type = types.listOf types.port; default = [ ]; apply = lib.unique; description = "Open ports."; };
  open = {
    allowedTCPPorts = ports;
    allowedUDPPorts = ports;
    allowedTCPPortRanges = ranges;
    allowedUDPPortRanges = ranges;
  };
  table.options = {
    enable = flag true "Whether the table is there.";
    name = mkOption { type = types.nullOr types.str; default = null; description = "Its name."; };
    content = mkOption { type = types.lines; description = "What is between its braces."; };
    family = mkOption { type = types.enum [ "ip" "ip6" "inet" "arp" "bridge" "netdev" ]; description = "Its family."; };
  };
  set = list: rs: lib.concatStringsSep ", " (map toString list ++ map (r: "${toString r.from}-${toString r.to}") rs);
  accept = match: proto: list: rs: lib.optionalString (list != [ ] || rs != [ ]) "    ${match}${proto} dport { ${set list rs} } accept\n";
  rules = match: o: accept match "tcp" o.allowedTCPPorts o.allowedTCPPortRanges + accept match "udp" o.allowedUDPPorts o.allowedUDPPortRanges;
  firewall = ''
    chain input {
      type filter hook input priority filter; policy drop;
      iifname { ${lib.concatMapStringsSep ", " (i: "\"${i}\"") ([ "lo" ] ++ cfg.trustedInterfaces)} } accept
      ct state vmap { invalid : drop, established : accept, related : accept }
      ${lib.optionalString cfg.allowPing "icmp type echo-request accept"}
      icmpv6 type != { nd-redirect, 139 } accept
    ${rules "" cfg}${lib.concatStrings (lib.mapAttrsToList (i: rules "iifname \"${i}\" ") cfg.interfaces)}${cfg.extraInputRules}
    ${lib.optionalString cfg.rejectPackets "  reject"}
    }
  '';
  tables = lib.optionalAttrs cfg.enable { nixos-fw = { name = "nixos-fw"; family = "inet"; content = firewall; }; }
    // lib.optionalAttrs nft.enable (lib.mapAttrs (n: t: t // { name = if t.name == null then n else t.name; }) (lib.filterAttrs (_: t: t.enable) nft.tables));
  tableText = t: "table ${t.family} ${t.name}\ndelete table ${t.family} ${t.name}\ntable ${t.family} ${t.name} {\n${t.content}\n}\n";
  file = pkgs.writeTextFile {
    name = "nftables-rules";
    text = lib.optionalString (nft.enable && nft.flushRuleset) "flush ruleset\n"
      # A firewall that was there before is gone after a reload, too.
      + lib.optionalString (!cfg.enable) "table inet nixos-fw\ndelete table inet nixos-fw\n"
      + lib.concatStrings (map tableText (builtins.attrValues tables)) + lib.optionalString nft.enable nft.ruleset;
    checkPhase = lib.optionalString (nft.enable && nft.checkRuleset) "unshare -rn nft --check --file \"$target\"";
  };
in
{
  options.networking = {
    firewall = open // {
      enable = flag true "Whether only open ports can be reached.";
      package = mkOption { type = types.package; default = pkgs.nftables; description = "Accepted and unused."; };
      interfaces = mkOption { type = types.attrsOf (types.submodule { options = open; }); default = { }; description = "Ports of one interface."; };
      trustedInterfaces = mkOption { type = types.listOf types.str; default = [ ]; description = "Interfaces without a firewall."; };
      allowPing = flag true "Whether echo requests are answered.";
      rejectPackets = flag false "Whether refused packets are told.";
      checkReversePath = mkOption { type = types.either types.bool (types.enum [ "strict" "loose" ]); default = false; description = "Accepted and unused."; };
      logRefusedConnections = flag true "Accepted and unused.";
      logRefusedPackets = flag false "Accepted and unused.";
      logReversePathDrops = flag false "Accepted and unused.";
      filterForward = flag false "Accepted and unused.";
      extraInputRules = mkOption { type = types.lines; default = ""; description = "Further rules of the input chain."; };
      extraForwardRules = mkOption { type = types.lines; default = ""; description = "Accepted and unused."; };
      extraCommands = mkOption { type = types.lines; default = ""; description = "Accepted and unused: commands of iptables."; };
    };
    nftables = {
      enable = flag false "Whether the firewall and the tables below are nftables.service's.";
      checkRuleset = flag true "Whether the build checks the rules.";
      flushRuleset = mkOption {
        type = types.bool;
        default = nft.ruleset != "" || lib.versionOlder config.system.stateVersion "23.11";
        description = "Whether a load removes every table first.";
      };
      ruleset = mkOption { type = types.lines; default = ""; description = "Further text."; };
      tables = mkOption { type = types.attrsOf (types.submodule table); default = { }; description = "Tables."; };
    };
    nat.enable = flag false "Accepted and unused.";
  };
  config = {
    assertions = [ { assertion = nft.enable -> cfg.extraCommands == ""; message = "extraCommands is incompatible with the nftables based firewall: ${cfg.extraCommands}"; } ];
    systemd.services = lib.mkIf (cfg.enable || nft.enable) {
      ${if nft.enable then "nftables" else "firewall"} = {
        description = if nft.enable then "nftables firewall" else "Firewall";
        wantedBy = [ "sysinit.target" ];
        wants = [ "network-pre.target" ];
        before = [ "network-pre.target" "shutdown.target" ];
        conflicts = [ "shutdown.target" ];
        reloadIfChanged = true;
        unitConfig.DefaultDependencies = false;
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "${pkgs.nftables}/bin/nft -f ${file}";
          ExecReload = "${pkgs.nftables}/bin/nft -f ${file}";
        };
        postStop = if nft.enable && nft.flushRuleset then "${pkgs.nftables}/bin/nft flush ruleset" else lib.concatMapStrings (t: "${pkgs.nftables}/bin/nft delete table ${t.family} ${t.name} || true\n") (builtins.attrValues tables);
      };
    };
  };
}
