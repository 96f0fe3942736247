package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/spec"
)

func newLabCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "A fleet of real hosts on this machine, for trying and testing",
		Example: `  nixmesh lab up                       boot the fleet's hosts
  nixmesh --lab deploy                 deploy to them
  nixmesh lab ssh app1 -- systemctl --failed
  nixmesh lab break app1 --power       and see what happens
  nixmesh lab down                     leave nothing`,
		Long: `A fleet of real hosts on this machine, for trying and testing.

Each host of the fleet gets its own root, /boot, address, systemd, sshd and nix, in namespaces of this machine. That needs
Linux and root. Keys, disks and consoles are in .nixmesh/lab/ of the fleet's folder; the base image and the store are in
/var/cache/nixmesh (NIXMESH_CACHE).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newLabUpCmd(a), newLabStatusCmd(a), newLabSSHCmd(a), newLabBreakCmd(a),
		newLabPartitionCmd(a), newLabHealCmd(a), newLabDownCmd(a), newLabCheckCmd(a), newLabPrepareCmd(a))
	return cmd
}

// openLab opens the lab of the fleet's folder. It does not read the spec: a
// lab can be looked at and taken down while the spec is broken.
func (a *app) openLab(o lab.Options) (*lab.Lab, error) {
	dir, err := spec.FindDir(a.dir)
	if err != nil {
		return nil, fmt.Errorf("find the fleet: %w; nixmesh -C DIR names its folder", err)
	}
	o.Fleet = dir
	o.StateDir = filepath.Join(dir, ".nixmesh", "lab")
	if o.Nixpkgs == "" {
		o.Nixpkgs = a.getenv("NIXMESH_NIXPKGS")
	}
	o.Cache = a.getenv("NIXMESH_CACHE")
	if !a.quiet {
		o.Log = func(line string) { fmt.Fprintln(a.stderr, line) }
	}
	return lab.New(o)
}

// labHosts are the spec's hosts, as the lab needs them.
func labHosts(f *spec.Fleet) ([]lab.Host, error) {
	var hosts []lab.Host
	for _, h := range f.Hosts {
		address, err := netip.ParseAddr(h.Address)
		if err != nil {
			return nil, fmt.Errorf("read the address of host %s: %w", h.Name, err)
		}
		hosts = append(hosts, lab.Host{Name: h.Name, Address: address, SSHPort: h.SSH.Port})
	}
	return hosts, nil
}

// labExternals are the spec's externals, as the lab answers for them.
func labExternals(f *spec.Fleet) []lab.External {
	var externals []lab.External
	for _, x := range f.Externals {
		e := lab.External{Name: x.Name, Protocol: x.Protocol, TLS: x.TLS != "off", ServerName: x.ServerName}
		for _, h := range x.Hosts {
			if address, err := netip.ParseAddr(h.Host); err == nil {
				e.Addresses = append(e.Addresses, netip.AddrPortFrom(address, uint16(h.Port)))
			}
		}
		externals = append(externals, e)
	}
	return externals
}

// labFailure explains the errors of a lab that have an exit code or a next
// command of their own.
func labFailure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, lab.ErrNotRunning):
		return fmt.Errorf("%w. Boot it: nixmesh lab up", err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%w. The lab needs root: run it with sudo", err)
	}
	return err
}

func newLabCheckCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "check",
		Short:  "Whether this machine can run a lab; changes nothing",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := lab.Check(); err != nil {
				return err
			}
			_, err := fmt.Fprintln(a.stdout, "This machine can run a lab.")
			return err
		},
	}
}

func newLabDownCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Take the lab away: hosts, disks, network; the keys stay",
		Long: `Take the lab away: hosts, disks, network; the keys stay. It also clears what a crash left, and is content with nothing.

EXIT STATUS
  0   nothing of the lab is left
  1   something is; the message says what`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.openLab(lab.Options{})
			if err != nil {
				return err
			}
			return labFailure(l.Down(cmd.Context()))
		},
	}
}
