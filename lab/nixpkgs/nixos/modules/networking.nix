# Names of the host. Interfaces are accepted and unused: a lab host gets its address from outside.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.networking;
  unused = type: default: mkOption { inherit type default; description = "Accepted and unused."; };
in
{
  options.networking = {
    hostName = mkOption {
      type = types.strMatching "^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$";
      default = config.system.nixos.distroId;
      description = "The name, without a domain; empty = what the host has at run time.";
    };
    domain = mkOption { type = types.nullOr types.str; default = null; description = "The domain."; };
    fqdn = mkOption { type = types.str; readOnly = true; default = if cfg.domain == null then cfg.hostName else "${cfg.hostName}.${cfg.domain}"; description = "Both."; };
    hosts = mkOption { type = types.attrsOf (types.listOf types.str); default = { }; description = "Address -> names, for /etc/hosts."; };
    extraHosts = mkOption { type = types.lines; default = ""; description = "Further lines of /etc/hosts."; };
    nameservers = mkOption { type = types.listOf types.str; default = [ ]; description = "Lines of resolv.conf."; };
    search = unused (types.listOf types.str) [ ];
    hostId = unused (types.nullOr types.str) null;
    useDHCP = unused types.bool true;
    useHostResolvConf = unused types.bool false;
    useNetworkd = unused types.bool false;
    usePredictableInterfaceNames = unused types.bool true;
    enableIPv6 = unused types.bool true;
    defaultGateway = unused (types.nullOr (types.either types.str types.attrs)) null;
    defaultGateway6 = unused (types.nullOr (types.either types.str types.attrs)) null;
    interfaces = unused (types.attrsOf types.anything) { };
    bridges = unused (types.attrsOf types.anything) { };
    vlans = unused (types.attrsOf types.anything) { };
    bonds = unused (types.attrsOf types.anything) { };
    dhcpcd.enable = unused types.bool true;
    resolvconf.enable = unused types.bool false;
    networkmanager.enable = unused types.bool false;
    timeServers = unused (types.listOf types.str) [ ];
  };
  config = {
    assertions = [
      {
        assertion = lib.all (names: !lib.elem "localhost" names) (builtins.attrValues (lib.filterAttrs (a: _: !(lib.hasPrefix "127." a) && a != "::1") cfg.hosts));
        message = "`networking.hosts` maps \"localhost\" to something other than \"127.0.0.1\"\nor \"::1\". This will break some applications. Please use\n`networking.extraHosts` if you really want to add such a mapping.\n";
      }
    ];
    networking.hosts = {
      "127.0.0.1" = [ "localhost" ];
      "::1" = [ "localhost" ];
      "127.0.0.2" = lib.mkIf (cfg.hostName != "") ([ cfg.hostName ] ++ lib.optional (cfg.domain != null) cfg.fqdn);
    };
    environment.etc = lib.mkMerge [
      {
        hosts.text = lib.concatStrings (lib.mapAttrsToList (a: names: "${a} ${lib.concatStringsSep " " (lib.unique names)}\n") (lib.filterAttrs (_: n: n != [ ]) cfg.hosts)) + cfg.extraHosts;
      }
      (lib.mkIf (cfg.hostName != "") { hostname.text = cfg.hostName + "\n"; })
      (lib.mkIf (cfg.nameservers != [ ]) { "resolv.conf".text = lib.concatMapStrings (n: "nameserver ${n}\n") cfg.nameservers; })
    ];
  };
}
