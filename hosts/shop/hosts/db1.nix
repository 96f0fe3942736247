# db1's machine: disks, loader and network, as its installer wrote them. Everything else comes from nixmesh.hcl.
{ pkgs, ... }:
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
      address = "10.0.0.31";
      prefixLength = 24;
    }
  ];
  networking.defaultGateway = "10.0.0.1";

  time.timeZone = "Europe/Berlin";
  system.stateVersion = "26.05";

  # The roles of the services, and who may connect as them: connections come from this host's own mesh proxy.
  services.postgresql = {
    ensureUsers = [
      { name = "api"; }
      { name = "worker"; }
    ];
    # Before its first start: the database, and what its roles may do in it.
    initialScript = pkgs.writeText "shop.sql" ''
      CREATE DATABASE shop;
      \connect shop
      CREATE TABLE visits (at timestamptz DEFAULT now(), host text, version text);
      GRANT SELECT, INSERT ON visits TO PUBLIC;
    '';
    authentication = ''
      host shop api,worker 127.0.0.1/32 trust
    '';
  };
}
