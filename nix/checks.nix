# `nix flake check`: the package builds, and the modules evaluate on a real
# NixOS with one service.
{
  self,
  pkgs,
  nixpkgs,
}:
{
  package = self.packages.${pkgs.stdenv.hostPlatform.system}.nixmesh;

  modules =
    (nixpkgs.lib.nixosSystem {
      modules = [
        self.nixosModules.default
        ./tests/one-service.nix
        { nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system; }
      ];
    }).config.system.build.toplevel;
}
