# Hosts with secrets, and what their units came to be. `fleet` is a folder with
# the age files db.age and stripe.age.
{
  nixpkgs,
  modules,
  fleet,
}:
let
  lib = import "${nixpkgs}/lib";
  host =
    config:
    ((import "${nixpkgs}/nixos" { inherit lib; }) {
      system = "x86_64-linux";
      modules = [
        modules
        {
          services.nixmesh = {
            enable = true;
            fleet = "shop";
            host = "app1";
            source = "/var/empty";
          };
        }
        config
      ];
    }).config;

  file = name: builtins.path { path = fleet; name = "nixmesh-app1"; } + "/${name}";

  service =
    pkgs: more:
    {
      package = pkgs.coreutils;
      exec = [ "bin/true" ];
      uid = 32000;
    }
    // more;

  shop = host (
    { pkgs, ... }:
    {
      services.nixmesh.instances = {
        "api@v1" = service pkgs {
          service = "api";
          user = "nm-api";
          secretEnv = [
            "DATABASE_URL"
            "TOKEN"
          ];
          secrets = {
            DATABASE_URL.file = file "db.age";
            STRIPE_KEY.file = file "stripe.age";
            TOKEN.path = "/run/keys/token";
          };
        };
        web = service pkgs {
          user = "nm-web";
          secrets.TOKEN.path = "/run/keys/token";
        };
        plain = service pkgs { user = "nm-plain"; };
        foreign = {
          unit = "legacy.service";
          secrets.STRIPE_KEY.file = file "stripe.age";
        };
      };
      systemd.services.legacy.serviceConfig = {
        ExecStart = "/bin/true";
        LoadCredential = [ "OWN:/etc/own" ];
      };
    }
  );

  wrong = host (
    { pkgs, ... }:
    {
      services.nixmesh.instances.web = service pkgs {
        place = "nixmesh.hcl:7 (service \"web\")";
        user = "nm-web";
        secrets.BOTH = {
          file = file "db.age";
          path = "/run/x";
        };
        secrets.NONE = { };
      };
    }
  );

  # Without what differs from one package set to another.
  unit =
    name:
    let
      u = shop.systemd.services.${name};
    in
    {
      after = builtins.filter (lib.hasPrefix "nixmesh-") u.after;
      inherit (u) wants restartTriggers;
      environment = lib.filterAttrs (name: _: lib.hasSuffix "_FILE" name) u.environment;
      config = lib.mapAttrs (_: builtins.sort builtins.lessThan) (
        lib.filterAttrs (name: _: name == "LoadCredential" || name == "EnvironmentFile") u.serviceConfig
      );
    };
in
{
  units = lib.genAttrs [
    "api@v1"
    "web"
    "plain"
    "legacy"
  ] unit;
  manifest = builtins.fromJSON (
    builtins.unsafeDiscardStringContext shop.environment.etc."nixmesh/secrets.json".text
  );
  wrong = builtins.filter (lib.hasPrefix "nixmesh.hcl") (
    map (a: a.message) (builtins.filter (a: !a.assertion) wrong.assertions)
  );
}
