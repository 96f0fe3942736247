# What a host of the nixmesh lab is, as a NixOS module: its disks, network and kernel are made from outside, and its loader is
# the lab itself, which boots what /boot says. Works on the stand-in of nixpkgs and on a real one.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (config.boot.loader.systemd-boot) configurationLimit;

  # A loader of systemd-boot's kind: an entry for each generation of the system profile, and as the default the one of the
  # toplevel in $1. Whatever fails, as a full /boot, leaves the default that was there.
  loader = pkgs.writeScript "nixmesh-lab-loader" ''
    #!/bin/sh
    set -eu
    export PATH=${lib.makeBinPath [ pkgs.coreutils ]}
    system=$(readlink -f "$1")
    profile=/nix/var/nix/profiles/system
    limit=${toString (if configurationLimit == null then 0 else configurationLimit)}
    entries=/boot/loader/entries
    images=/boot/EFI/nixos
    mkdir -p "$entries" "$images"

    # put FILE: standard input becomes the file, on the disk, in one step.
    put() {
      if cat > "$1.tmp" && sync "$1.tmp"; then
        mv -f "$1.tmp" "$1"
        sync "''${1%/*}"
      else
        rm -f "$1.tmp"
        echo "write $1: the loader's default stays as it was" >&2
        exit 1
      fi
    }

    # image FILE: copies a kernel or initrd, and sets $image to its path as the loader sees it.
    image() {
      real=$(readlink -f "$1")
      folder=''${real%/*}
      name=''${folder##*/}-''${real##*/}.efi
      [ -e "$images/$name" ] || put "$images/$name" < "$real"
      image=/EFI/nixos/$name
      keep="$keep $images/$name"
    }

    numbers=$(for link in "$profile"-*-link; do n=''${link#"$profile"-}; echo "''${n%-link}"; done | sort -n)
    default=
    for n in $numbers; do
      if [ "$(readlink -f "$profile-$n-link")" = "$system" ]; then default=$n; fi
    done
    if [ -z "$default" ]; then
      echo "warning: $system is no generation of $profile; the loader's default stays as it was" >&2
      exit 0
    fi
    if [ "$limit" -gt 0 ]; then
      newest=$(printf '%s\n' $numbers | tail -n "$limit")
    else
      newest=$numbers
    fi

    keep=
    for n in $(printf '%s\n' $newest "$default" | sort -nu); do
      toplevel=$(readlink -f "$profile-$n-link")
      [ -e "$toplevel/nixos-version" ] || continue
      entry=$entries/nixos-generation-$n.conf
      text="title NixOS
    sort-key nixos
    version Generation $n NixOS $(cat "$toplevel/nixos-version")"
      if [ -e "$toplevel/kernel" ]; then
        image "$toplevel/kernel"
        text="$text
    linux $image"
        image "$toplevel/initrd"
        text="$text
    initrd $image"
      fi
      text="$text
    options init=$toplevel/init $(cat "$toplevel/kernel-params" 2>/dev/null || true)"
      if [ "$(cat "$entry" 2>/dev/null || true)" != "$text" ]; then
        printf '%s\n' "$text" | put "$entry"
      fi
      keep="$keep $entry"
    done
    put /boot/loader/loader.conf <<END
    timeout 0
    default nixos-generation-$default.conf
    END

    # What no entry needs any more.
    for file in "$entries"/nixos-generation-*.conf "$images"/*; do
      case " $keep " in
        *" $file "*) ;;
        *) rm -f "$file" ;;
      esac
    done
  '';
in
{
  # No kernel, initrd, udev, root file system or loader of its own.
  boot.isContainer = true;
  boot.loader.grub.enable = lib.mkForce false;
  boot.loader.systemd-boot.enable = lib.mkForce false;
  boot.loader.efi.canTouchEfiVariables = lib.mkForce false;
  system.build.installBootLoader = lib.mkForce loader;

  # The lab has mounted / and /boot; a device named in fstab would never appear.
  fileSystems = lib.mkForce { };
  swapDevices = lib.mkForce [ ];

  # The lab has set the address, on eth0.
  networking = {
    useDHCP = lib.mkForce false;
    useNetworkd = lib.mkForce false;
    useHostResolvConf = lib.mkForce false;
    interfaces = lib.mkForce { };
    defaultGateway = lib.mkForce null;
    defaultGateway6 = lib.mkForce null;
    # The lab's kernel has nftables and may lack the modules of iptables.
    nftables.enable = lib.mkForce true;
    nftables.checkRuleset = lib.mkDefault false;
  };

  # A container has no sshd and no nix daemon of its own, by default.
  services.openssh = {
    enable = true;
    startWhenNeeded = lib.mkForce false;
    authorizedKeysFiles = [ "/etc/nixmesh-lab/authorized_keys" ];
  };
  systemd.sockets.nix-daemon.enable = lib.mkForce true;
  systemd.services.nix-daemon.enable = lib.mkForce true;
  nix.settings = {
    experimental-features = [
      "nix-command"
      "flakes"
    ];
    # Nothing is fetched, and builds run in the host's own namespaces.
    substituters = lib.mkForce [ ];
    sandbox = lib.mkForce false;
    build-users-group = lib.mkForce "";
  };

  documentation.enable = lib.mkDefault false;
}
