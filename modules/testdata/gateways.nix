# A host with a gateway and an external whose certificates are files. `fleet` is a
# folder with chain.pem, roots.pem, key.age and gossip.age.
{
  nixpkgs,
  modules,
  fleet,
}:
let
  lib = import "${nixpkgs}/lib";
  file = name: builtins.path { path = fleet; name = "nixmesh-edge1"; } + "/${name}";
  host =
    agent:
    ((import "${nixpkgs}/nixos" { inherit lib; }) {
      system = "x86_64-linux";
      modules = [
        modules
        {
          services.nixmesh = {
            enable = true;
            fleet = "shop";
            host = "edge1";
            source = "/var/empty";
            agent = lib.mkIf agent {
              enable = true;
              roots = "ROOTS";
              gossipKey = file "gossip.age";
            };
            gateways.public.certificates = [
              {
                host = "*.shop.example";
                chain = file "chain.pem";
                key = file "key.age";
              }
              {
                chain = file "chain.pem";
                key = file "key.age";
              }
            ];
            externals = {
              bank = {
                ca = file "roots.pem";
                certificate = {
                  chain = file "chain.pem";
                  key = file "key.age";
                };
              };
              stripe.ca = file "roots.pem";
            };
          };
        }
      ];
    }).config;

  edge1 = host true;
  read = name: builtins.fromJSON (builtins.unsafeDiscardStringContext edge1.environment.etc.${name}.text);
in
{
  inherit (read "nixmesh/secrets.json") secrets;
  mesh = removeAttrs (read "nixmesh/host.json").mesh [ "envoy" ];
  capabilities = edge1.systemd.services.nixmesh-unseal.serviceConfig.CapabilityBoundingSet;
  wrong = builtins.filter (lib.hasInfix "services.nixmesh.gateways") (
    map (a: a.message) (builtins.filter (a: !a.assertion) (host false).assertions)
  );
}
