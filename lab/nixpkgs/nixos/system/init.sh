#!/bin/sh
# The first program of a lab host: activates the system, then becomes systemd. Arguments go to systemd.
systemConfig=@toplevel@
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# On the first boot the image is still Debian's: its enabled units and its accounts for databases make room.
if [ ! -e /var/lib/nixos ]; then
  rm -rf /etc/systemd/system /etc/postgresql /var/lib/postgresql /etc/redis /etc/sudoers.d
  sed -i -e '/^postgres:/d' -e '/^redis:/d' /etc/passwd /etc/shadow /etc/group /etc/gshadow
fi

# Without a machine id systemd would take this for a first boot and enable Debian's units.
[ -s /etc/machine-id ] || systemd-machine-id-setup

mkdir -p /nix/var/nix/gcroots
ln -sfn "$systemConfig" /run/booted-system
ln -sfn /run/booted-system /nix/var/nix/gcroots/booted-system
"$systemConfig/activate" || echo "activation of $systemConfig failed" >&2
exec "$systemConfig/systemd/lib/systemd/systemd" "$@"
