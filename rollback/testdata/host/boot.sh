#!/bin/bash
# boot.sh ROOT: what firmware and loader are for a machine. Runs as process 1
# of fresh namespaces, and becomes the init that ROOT/boot names as default.
set -e
r=$1
mount --make-rprivate /
mount --rbind "$r" "$r"
mount -t proc proc "$r/proc"
mount -t sysfs -o ro sysfs "$r/sys"
cat /proc/sys/kernel/random/uuid >"$r/../boot_id"
mount --bind "$r/proc/sys" "$r/proc/sys"
mount -o remount,ro,bind "$r/proc/sys"
mount --bind "$r/../boot_id" "$r/proc/sys/kernel/random/boot_id"
mkdir -p "$r/sys/fs/cgroup"
mount -t cgroup2 cgroup2 "$r/sys/fs/cgroup"
mount -t tmpfs tmpfs "$r/run"
mount -t tmpfs tmpfs "$r/dev"
for x in null zero full random urandom tty; do
  touch "$r/dev/$x"
  mount --bind "/dev/$x" "$r/dev/$x"
done
mkdir -p "$r/dev/pts" "$r/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$r/dev/pts"
ln -s pts/ptmx "$r/dev/ptmx"
touch "$r/dev/console"
ln -s /proc/self/fd "$r/dev/fd"
ip link set lo up
mkdir -p "$r/old"
cd "$r"
pivot_root . old
umount -l /old
mount --make-rshared /
entry=$(sed -n 's/^default //p' /boot/loader/loader.conf)
init=$(sed -n 's/.*init=\([^ ]*\).*/\1/p' "/boot/loader/entries/$entry")
echo "loader: $entry $init"
export container=nixmesh-lab PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec "$init"
