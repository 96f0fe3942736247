# app2's machine: disks, loader and network, as its installer wrote them. Everything else comes from nixmesh.hcl.
{
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  fileSystems."/boot" = {
    device = "/dev/disk/by-label/boot";
    fsType = "vfat";
  };
  boot.loader.systemd-boot.enable = true;

  networking.useDHCP = false;
  networking.interfaces.eth0.ipv4.addresses = [
    {
      address = "10.0.0.22";
      prefixLength = 24;
    }
  ];
  networking.defaultGateway = "10.0.0.1";

  time.timeZone = "Europe/Berlin";
  system.stateVersion = "26.05";
}
