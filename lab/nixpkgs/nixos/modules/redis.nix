# services.redis.servers.NAME: redis-NAME.service (redis.service for the empty name).
{ config, lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  servers = lib.filterAttrs (_: s: s.enable) config.services.redis.servers;
  unit = name: if name == "" then "redis" else "redis-${name}";
  value = types.oneOf [ types.bool types.int types.str (types.listOf types.str) ];
  asText = v: if builtins.isBool v then lib.boolToYesNo v else toString v;
  server =
    { name, config, ... }:
    {
      options = {
        enable = mkOption { type = types.bool; default = false; description = "Whether it runs."; };
        user = mkOption { type = types.str; default = unit name; description = "Its user."; };
        group = mkOption { type = types.str; default = config.user; description = "Its group."; };
        port = mkOption { type = types.port; default = if name == "" then 6379 else 0; description = "Its port; 0 = its socket only."; };
        bind = mkOption { type = types.nullOr types.str; default = "127.0.0.1"; description = "The addresses; null = all."; };
        openFirewall = mkOption { type = types.bool; default = false; description = "Whether the port is open."; };
        unixSocket = mkOption { type = types.nullOr types.path; default = "/run/${unit name}/redis.sock"; description = "The socket."; };
        unixSocketPerm = mkOption { type = types.int; default = 660; description = "Its mode."; };
        databases = mkOption { type = types.int; default = 16; description = "Databases."; };
        maxclients = mkOption { type = types.int; default = 10000; description = "Clients."; };
        logLevel = mkOption { type = types.str; default = "notice"; description = "debug, verbose, notice or warning."; };
        appendOnly = mkOption { type = types.bool; default = false; description = "Whether each write is logged."; };
        requirePass = mkOption { type = types.nullOr types.str; default = null; description = "The password."; };
        requirePassFile = mkOption { type = types.nullOr types.path; default = null; description = "Accepted and unused."; };
        save = mkOption { type = types.listOf (types.listOf types.int); default = [ [ 900 1 ] [ 300 10 ] [ 60 10000 ] ]; description = "When it saves."; };
        settings = mkOption { type = types.attrsOf value; default = { }; description = "redis.conf."; };
      };
      config.settings = {
        inherit (config) port databases maxclients;
        loglevel = config.logLevel;
        daemonize = false;
        supervised = "systemd";
        appendonly = config.appendOnly;
        save = if config.save == [ ] then ''""'' else map (s: lib.concatMapStringsSep " " toString s) config.save;
        dir = "/var/lib/${unit name}";
        bind = lib.mkIf (config.bind != null) config.bind;
        unixsocket = lib.mkIf (config.unixSocket != null) "${config.unixSocket}";
        unixsocketperm = lib.mkIf (config.unixSocket != null) (toString config.unixSocketPerm);
        requirepass = lib.mkIf (config.requirePass != null) config.requirePass;
      };
    };
in
{
  options.services.redis = {
    package = lib.mkPackageOption pkgs "redis" { };
    vmOverCommit = mkOption { type = types.bool; default = false; description = "Accepted and unused."; };
    servers = mkOption { type = types.attrsOf (types.submodule server); default = { }; description = "Servers."; };
  };
  config = lib.mkIf (servers != { }) {
    environment.systemPackages = [ config.services.redis.package ];
    networking.firewall.allowedTCPPorts = lib.concatMap (s: lib.optional s.openFirewall s.port) (builtins.attrValues servers);
    users.users = lib.mapAttrs' (name: s: lib.nameValuePair s.user { description = "System user for the redis-server instance ${name}"; isSystemUser = true; inherit (s) group; }) servers;
    users.groups = lib.mapAttrs' (_: s: lib.nameValuePair s.group { }) servers;
    systemd.services = lib.mapAttrs' (
      name: s:
      lib.nameValuePair (unit name) {
        description = "Redis Server - ${unit name}";
        wantedBy = [ "multi-user.target" ];
        after = [ "network.target" ];
        serviceConfig = {
          ExecStart = "${config.services.redis.package}/bin/redis-server ${
            pkgs.writeText "redis.conf" (lib.generators.toKeyValue { listsAsDuplicateKeys = true; mkKeyValue = k: v: "${k} ${asText v}"; } s.settings)
          }";
          Type = "notify";
          User = s.user;
          Group = s.group;
          RuntimeDirectory = unit name;
          RuntimeDirectoryMode = "0750";
          StateDirectory = unit name;
          StateDirectoryMode = "0700";
          UMask = "0077";
          LimitNOFILE = s.maxclients + 32;
        };
      }
    ) servers;
  };
}
