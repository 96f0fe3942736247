# Units of checks that are commands. `fleet` is a folder with db.age.
{
  nixpkgs,
  modules,
  fleet,
}:
let
  lib = import "${nixpkgs}/lib";
  file = name: builtins.path { path = fleet; name = "nixmesh-app1"; } + "/${name}";

  host =
    agent:
    ((import "${nixpkgs}/nixos" { inherit lib; }) {
      system = "x86_64-linux";
      modules = [
        modules
        (
          { pkgs, ... }:
          {
            services.nixmesh = {
              enable = true;
              fleet = "shop";
              host = "app1";
              source = "/var/empty";
              agent = lib.optionalAttrs agent {
                enable = true;
                roots = "roots";
                gossipKey = file "db.age";
              };
              instances = {
                "api@v1" = {
                  service = "api";
                  version = "v1";
                  package = pkgs.coreutils;
                  exec = [ "bin/true" ];
                  user = "nm-api";
                  uid = 32000;
                  environment.GREETING = "50% \"off\"";
                  secrets.DATABASE_URL.file = file "db.age";
                  secretEnv = [ "DATABASE_URL" ];
                };
                legacy.unit = "legacy.service";
                report = {
                  package = pkgs.coreutils;
                  exec = [ "bin/true" ];
                  user = "nm-report";
                  uid = 32001;
                  schedule = "daily";
                };
                once = {
                  package = pkgs.coreutils;
                  exec = [ "bin/true" ];
                  user = "nm-once";
                  uid = 32002;
                  restart = "never";
                };
              };
              checks.legacy = {
                instance = "legacy";
                kind = "exec";
                package = pkgs.coreutils;
                exec = [ "bin/true" ];
              };
              checks."api@v1" = {
                instance = "api@v1";
                kind = "tcp";
                address = "127.0.0.1:20000";
              };
              checks."api@v1#2" = {
                instance = "api@v1";
                kind = "exec";
                exec = [
                  "bin/test"
                  "-n"
                  "\${DATABASE_URL}"
                ];
                timeout = "1m30s";
              };
            };
            systemd.services.legacy = {
              wantedBy = [ "multi-user.target" ];
              serviceConfig = {
                ExecStart = "/bin/true";
                DynamicUser = true;
                StateDirectory = "legacy";
                StateDirectoryMode = "0700";
                RuntimeDirectory = "legacy legacy/sockets";
              };
            };
          }
        )
      ];
    }).config;

  own = lib.filterAttrs (name: _: lib.hasPrefix "nixmesh-check-" name);
  with-agent = host true;
  unit = with-agent.systemd.services."nixmesh-check-api.v1:2@";
  socket = with-agent.systemd.sockets."nixmesh-check-api.v1:2";
  plain = builtins.unsafeDiscardStringContext;
  facts = builtins.fromJSON (plain with-agent.environment.etc."nixmesh/host.json".text);
in
{
  services = builtins.attrNames (own with-agent.systemd.services);
  sockets = builtins.attrNames (own with-agent.systemd.sockets);
  none = builtins.attrNames (own (host false).systemd.services // own (host false).systemd.sockets);
  listen = socket.listenStreams;
  inherit (socket) wantedBy;
  socket = lib.mapAttrs (_: toString) socket.socketConfig;
  config = lib.mapAttrs (_: value: map (text: plain (toString text)) (lib.toList value)) unit.serviceConfig;
  collect = unit.unitConfig.CollectMode;
  restart = unit.restartIfChanged;
  environment = lib.mapAttrs (_: value: plain "${value}") (
    lib.filterAttrs (name: value: value != null && name != "PATH") unit.environment
  );
  path = plain unit.environment.PATH;
  inherit facts;
  dynamic = lib.filterAttrs (
    name: _: lib.hasInfix "Directory" name || lib.hasInfix "User" name || name == "ReadWritePaths"
  ) (lib.mapAttrs (_: value: toString value) with-agent.systemd.services."nixmesh-check-legacy@".serviceConfig);
}
