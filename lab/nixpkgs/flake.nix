{
  description = "A small hand-written stand-in for nixpkgs, for the nixmesh lab. It is not NixOS.";

  outputs =
    { self }:
    let
      lib = import ./lib;
      system = "x86_64-linux";
    in
    {
      lib = lib // {
        nixosSystem = import ./nixos { inherit lib; };
      };
      legacyPackages.${system} = import ./pkgs { inherit lib system; };
      nixosModules = { };
    };
}
