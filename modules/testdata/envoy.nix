# What a host's Envoy starts with; `given` is what its configuration says of it, in
# JSON. Its files are shown as texts, since nothing is built here.
{
  nixpkgs,
  modules,
  given,
}:
let
  lib = import "${nixpkgs}/lib";
  host =
    nixmesh:
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
            agent = {
              enable = true;
              roots = "roots of the CA\n";
              gossipKey = ./envoy.nix;
            };
          }
          // nixmesh;
        }
      ];
    }).config;

  c = host { envoy = builtins.fromJSON given; };
  unit = c.systemd.services.nixmesh-envoy;
  started = import "${modules}/envoy-bootstrap.nix" {
    inherit lib;
    pkgs.writeText = _: text: text;
    cfg = c.services.nixmesh;
  };
in
{
  bootstrap = started.file;
  inherit (started) flags;
  inherit (c.services.nixmesh.envoy) package;
  service = lib.mapAttrs (_: value: map (v: builtins.unsafeDiscardStringContext "${toString v}") (lib.toList value)) unit.serviceConfig;
  restarts = unit.restartIfChanged;
  agent = {
    inherit (c.systemd.services.nixmesh-agent) requires;
    groups = c.systemd.services.nixmesh-agent.serviceConfig.SupplementaryGroups;
  };
  facts =
    (builtins.fromJSON (
      builtins.unsafeDiscardStringContext c.environment.etc."nixmesh/host.json".text
    )).mesh.envoy;
  wrong = map (a: a.message) (builtins.filter (a: !a.assertion) c.assertions);
}
