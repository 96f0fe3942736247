package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/lab"
	"github.com/nixmesh/nixmesh/spec"
)

func newLabUpCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Boot the fleet's hosts on this machine",
		Long: `Boot the fleet's hosts on this machine. In a lab that runs it boots the hosts that are new in the spec, off or
failed.

The first time it makes a base image of Debian packages, which takes a minute or two.

EXIT STATUS
  0   sshd of every host answers
  1   a host does not boot, or this machine cannot run a lab
  3   the spec is invalid`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLabUp(cmd.Context(), a) },
	}
}

func runLabUp(ctx context.Context, a *app) error {
	a.lab = true
	loaded, err := a.loadSpec()
	if err != nil {
		return err
	}
	hosts, err := labHosts(loaded.Fleet)
	if err != nil {
		return err
	}
	o := lab.Options{Hosts: hosts, Externals: labExternals(loaded.Fleet), Nixpkgs: a.getenv("NIXMESH_NIXPKGS")}
	if o.Nixpkgs == "" && strings.HasPrefix(loaded.Fleet.Nixpkgs, "path:") {
		o.Nixpkgs = loaded.Fleet.Nixpkgs // lab.hcl names a folder
	}
	l, err := a.openLab(o)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "Lab for fleet %s: %s as namespaces on this machine, each with its own systemd, sshd, nix and address (about 65 MB each)\n",
		loaded.Fleet.Name, counted(len(hosts), "host"))
	fmt.Fprintf(a.stderr, "nixpkgs: %s\n", l.Nixpkgs())
	width, address := 0, 0
	for _, h := range hosts {
		width, address = max(width, len(h.Name)), max(address, len(h.Address.String()))
	}
	if _, err := labRoot(filepath.Join(loaded.Dir, ".nixmesh", "lab"), loaded.Fleet.Name, a.now()); err != nil {
		return err
	}
	if _, err := l.CA(a.now()); err != nil {
		return err
	}
	err = l.Up(ctx, func(b lab.Booted) {
		fmt.Fprintf(a.stdout, "%-*s  %-*s  up %.1f s\n", width, b.Name, address, b.Address, b.Took.Seconds())
	})
	if err != nil {
		return labFailure(err)
	}
	printLabNext(a, loaded.Fleet)
	return nil
}

// printLabNext says what to do with a lab that is up.
func printLabNext(a *app, f *spec.Fleet) {
	last := f.Hosts[len(f.Hosts)-1].Name
	fmt.Fprintf(a.stderr, `Keys of operator lab, and of the mesh's CA in the clear: .nixmesh/lab/
CA of gateways with cert = "lab-ca", and of what the lab answers for: curl --cacert .nixmesh/lab/ca.pem

Try:
  nixmesh --lab deploy
  nixmesh lab ssh %[1]s
  nixmesh lab break %[1]s --power       watch it come back
  nixmesh lab down
`, last)
}
