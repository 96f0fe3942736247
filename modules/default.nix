# What nixmesh puts on a host. One option group a file; nothing acts unless
# services.nixmesh.enable is set.
{
  imports = [
    ./identity.nix
    ./package.nix
    ./operators.nix
    ./access.nix
    ./instances.nix
    ./units.nix
    ./unit-services.nix
    ./secrets.nix
    ./agent.nix
    ./envoy.nix
    ./checks.nix
    ./check-units.nix
    ./edges.nix
    ./network.nix
    ./gateways.nix
    ./rollout.nix
    ./facts.nix
    ./guards.nix
    ./guard.nix
  ];
}
