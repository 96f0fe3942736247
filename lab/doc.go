// Package lab boots a fleet of real hosts on one machine: each has its own
// root, /boot, network address, process tree, systemd, sshd and nix, and none
// needs a virtual machine or a container engine.
//
// One supervisor per lab holds everything: it is process 1 of a PID namespace,
// with a mount namespace that holds the hosts' disks and a network namespace
// that holds the bridge between them. When it ends, however it ends, the
// kernel takes processes, mounts, links, packet filters and loop devices away;
// only empty cgroups and files in the state folder are left, and Down removes
// them. That is why there is little to clean up and nothing to leak.
//
// The lab gives a host what hardware and a boot loader give a machine, and no
// more: what runs on it comes from the NixOS system that its /boot names.
//
// It may import only the standard library and x/sys; cmd/nixmesh and tests
// import it.
package lab
