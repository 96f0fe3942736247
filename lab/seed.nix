# What a new host of the lab runs: a plain NixOS with sshd, before nixmesh has
# ever seen it. Its name, host key, address and root's authorized key come
# from the lab, so that one seed serves all hosts.
{ lib, ... }:
{
  networking.hostName = lib.mkForce "";
  nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux";
  services.openssh = {
    enable = true;
    settings.PermitRootLogin = "prohibit-password";
  };
  nix.settings.experimental-features = [
    "nix-command"
    "flakes"
  ];
  system.stateVersion = "26.05";
}
