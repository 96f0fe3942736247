# A host with one service, as the compiler would write it: the least that
# needs every module.
{ pkgs, ... }:
let
  nixmesh = pkgs.callPackage ../package.nix { };
in
{
  services.nixmesh = {
    enable = true;
    fleet = "check";
    host = "node1";
    version = nixmesh.version;
    package = nixmesh;
    source = nixmesh;
    operators.anna = {
      ssh = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h anna" ];
      nixKey = "anna-1:scSNUqwvlTCzaZd0B4oIr8B9f7Jx7QDKDmHal4RCx5E=";
    };
    instances.hello = {
      package = pkgs.hello;
      user = "nm-hello";
      uid = 32000;
      exec = [ "bin/hello" ];
    };
  };
  networking.hostName = "node1";
  boot.isContainer = true;
  system.stateVersion = "26.05";
}
