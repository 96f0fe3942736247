{
  description = "nixmesh: a declarative deployer and service mesh for fleets of bare-metal NixOS machines";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forAll = f: nixpkgs.lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
    in
    {
      packages = forAll (pkgs: rec {
        nixmesh = pkgs.callPackage ./nix/package.nix { };
        default = nixmesh;
      });

      nixosModules.default = ./modules;

      lib.modulesPath = ./modules;

      devShells = forAll (pkgs: {
        default = pkgs.callPackage ./nix/devshell.nix { };
      });

      checks = forAll (pkgs: import ./nix/checks.nix { inherit self pkgs nixpkgs; });
    };
}
