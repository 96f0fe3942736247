# The kernel's table of hosts: one with all that it tells apart, one with
# nothing, and what keeps a host from being built.
{
  nixpkgs,
  modules,
  # An address: build the table of a host with an edge to it.
  build ? null,
}:
let
  lib = import "${nixpkgs}/lib";
  host =
    nixmesh: more:
    ((import "${nixpkgs}/nixos" { inherit lib; }) {
      system = "x86_64-linux";
      modules = [
        modules
        more
        {
          services.nixmesh = {
            enable = true;
            fleet = "shop";
            host = "app1";
            source = "/var/empty";
            agent = {
              enable = true;
              roots = "roots of the CA\n";
              gossipKey = ./guard.nix;
            };
          }
          // nixmesh;
        }
      ];
    }).config;

  listen = port: {
    protocol = "http";
    inherit port;
  };
  package = (import nixpkgs { system = "x86_64-linux"; }).busybox;
  own =
    user: uid: more:
    {
      inherit user uid package;
      exec = [ "bin/sh" ];
      egress = "declared";
    }
    // more;
  unit = unit: user: {
    systemd.services.${unit} = {
      script = "true";
      serviceConfig = lib.optionalAttrs (user != "root") { User = user; };
    };
    users = lib.optionalAttrs (user != "root") {
      users.${user} = {
        isSystemUser = true;
        group = user;
      };
      groups.${user} = { };
    };
  };

  full = host {
    instances = {
      web = own "nm-web" 32000 { listens = [ (listen 20000) ]; };
      # Copies and versions of a service are one user.
      "api@v1" = own "nm-api" 32001 {
        service = "api";
        version = "v1";
        listens = [ (listen 20001) ];
      };
      "api@v2" = own "nm-api" 32001 {
        service = "api";
        version = "v2";
        listens = [ (listen 20002) ];
      };
      cache = {
        unit = "redis-shop.service";
        listens = [ (listen 6379) ];
      };
      legacy = own "nm-legacy" 32002 {
        mtls = "permissive";
        egress = "open";
        listens = [ (listen 8080) ];
      };
      front = {
        unit = "nginx.service";
        listens = [ (listen 8081) ];
      };
    };
    edges = {
      "web api" = {
        caller = "web";
        upstream = "api";
        protocol = "http";
        address = "127.64.0.2";
        ports = [ 80 8000 ];
        edgePort = 15901;
      };
      "web cache" = {
        caller = "web";
        upstream = "cache";
        protocol = "redis";
        address = "127.64.0.3";
        ports = [ 6379 ];
        edgePort = 15902;
      };
      "api cache" = {
        caller = "api";
        upstream = "cache";
        protocol = "redis";
        address = "127.64.0.3";
        ports = [ 6379 ];
        edgePort = 15900;
      };
    };
  } { imports = [ (unit "redis-shop" "redis-shop") (unit "nginx" "root") ]; };

  text = config: import "${modules}/guard-table.nix" { inherit config lib; };
  refused = c: builtins.filter (lib.hasPrefix "services.nixmesh.") (map (a: a.message) (builtins.filter (a: !a.assertion) c.assertions));
  guard = full.systemd.services.nixmesh-guard;
  # web, whose versions share a user, as calls does with them, and other.
  shared =
    callers:
    host
      {
        instances = {
          calls.unit = "calls.service";
          "web@v1" = {
            service = "web";
            unit = "web1.service";
          };
          "web@v2" = {
            service = "web";
            unit = "web2.service";
          };
          other.unit = "other.service";
        };
        edges = lib.genAttrs callers (caller: {
          inherit caller;
          upstream = "api";
          protocol = "http";
          address = "127.64.0.2";
          ports = [ 80 ];
          edgePort = 15900;
        });
      }
      {
        imports = [
          (unit "calls" "web")
          (unit "web1" "web")
          (unit "web2" "web")
          (unit "other" "other")
        ];
        users.users.web.uid = 31000;
      };

  file = address: (host {
    instances.web = own "nm-web" 32000 { listens = [ (listen 20000) ]; };
    edges."web api" = {
      caller = "web";
      upstream = "api";
      protocol = "http";
      inherit address;
      ports = [ 80 ];
      edgePort = 15900;
    };
  } { }).environment.etc."nixmesh/guard.nft".source;
in
if build != null then file build else
{
  full = text full;
  copy = import "${modules}/guard-table.nix" {
    inherit lib;
    config = full;
    copy = true;
  };
  none = text (host { } { });
  requiredBy = guard.requiredBy;
  before = guard.before;
  without = (host { agent.enable = false; } { }).systemd.services ? nixmesh-guard;
  refused =
    refused (host { instances.front = {
      unit = "nginx.service";
      egress = "declared";
    }; } (unit "nginx" "root"))
    ++ refused (host {
      instances = {
        a = own "nm-a" 32000 { };
        b = own "nm-a" 32000 { egress = "open"; };
      };
    } { })
    ++ refused (host { instances.a = own "nm-a" 32000 { listens = [ (listen 22) ]; }; } { })
    # Units of other modules may share a user with a uid: two callers do, then a
    # caller does with one that does not call, then two that do not call.
    ++ refused (shared [ "calls" "web" ])
    ++ refused (shared [ "web" ])
    ++ refused (shared [ ]);
}
