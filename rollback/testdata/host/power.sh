#!/bin/bash
# power.sh DIR: the host in DIR gets a control group of its own, else hosts
# that run units of the same name kill each other's processes, and namespaces.
# "power.sh DIR off" removes the group.
set -e
dir=$1 group=$1/cgroup/$(basename "$1")
mount --make-rprivate /
mkdir -p "$dir/cgroup"
mount -t cgroup2 cgroup2 "$dir/cgroup"
if [ "$2" = off ]; then
  find "$group" -depth -type d -exec rmdir {} +
  exit
fi
mkdir -p "$group"
echo $$ >"$group/cgroup.procs"
exec unshare -m -u -i -p -n -C --fork --kill-child bash "$(dirname "$0")/boot.sh" "$dir/root"
