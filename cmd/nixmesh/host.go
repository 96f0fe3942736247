package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/spec"
	"github.com/nixmesh/nixmesh/trust"
)

func newHostCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "The fleet's machines: list them, pin their host keys",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var fingerprint string
	trust := &cobra.Command{
		Use: "trust NAME", Short: "Pin a host's SSH key in nixmesh.lock", Args: cobra.ExactArgs(1),
		Example: `  nixmesh host trust app1
  nixmesh host trust app1 --fingerprint SHA256:…      without a terminal`,
		Long: `Read a host's ed25519 key, show its fingerprint to compare with the one on its
console, and pin it in nixmesh.lock. From then on nothing else is accepted as that host.

EXIT STATUS
  0   pinned
  1   not the same, nothing was written
  6   no terminal and no --fingerprint
  7   the host does not answer`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHostTrust(cmd.Context(), a, args[0], fingerprint)
		},
	}
	trust.Flags().StringVar(&fingerprint, "fingerprint", "", "the key's fingerprint, SHA256:…")
	cmd.AddCommand(trust, &cobra.Command{
		Use: "list", Short: "List the hosts of the spec", Args: cobra.NoArgs,
		Example: "  nixmesh host list",
		RunE:    func(*cobra.Command, []string) error { return runHostList(a) },
	})
	cmd.AddCommand(newHostNodekeyCmd(a), newHostGuardCmd(a))
	return cmd
}

func runHostTrust(ctx context.Context, a *app, name, want string) error {
	f, err := a.openFleetFor(spec.Options{MendSecrets: true}) // a host that was trusted before may need its secrets still
	if err != nil {
		return err
	}
	if f.lab != nil {
		return &exitError{code: exitRefused, err: fmt.Errorf("the lab's host keys are made by lab up and kept in .nixmesh/lab; there is nothing to trust")}
	}
	t, err := f.target(name)
	if err != nil {
		return usageErrorf("%w", err)
	}
	key, err := remote.ScanHostKey(ctx, t, remote.Options{})
	if err != nil {
		return &exitError{code: exitUnreachable, err: err}
	}
	got, err := remote.Fingerprint(key)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s (%s) offers ssh-ed25519 %s\n", name, t.Address, got)
	if err := f.compareKey(got, want); err != nil {
		return err
	}
	f.lock.SetHostKey(name, key)
	if err := f.lock.Write(f.spec.Dir); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "nixmesh.lock: hostkey %s. Commit it.\n", name)
	if t.HostKey != "" && t.HostKey != f.lock.HostKey(name) {
		fmt.Fprintf(a.stdout, "It had another key before; ssh_host_key in the spec wins where it is set.\n")
	}
	if closed := f.closedTo(name); len(closed) > 0 {
		fmt.Fprintf(a.stdout, "%s cannot open %s yet. Next: nixmesh secret rekey\n", name, strings.Join(closed, ", "))
	}
	return nil
}

// closedTo are the age files that a host needs, and that are not for its key.
func (f *fleet) closedTo(host string) []string {
	tag, err := trust.SSHTag(f.hostKey(host))
	if err != nil {
		return nil
	}
	var closed []string
	for _, file := range f.spec.AgeFiles() {
		header, err := trust.AgeRecipients(f.path(file.File))
		if err == nil && slices.Contains(file.Hosts, host) && !slices.Contains(header.SSHTags, tag) {
			closed = append(closed, file.File)
		}
	}
	return closed
}

// compareKey lets a person compare, or the fingerprint that was given.
func (f *fleet) compareKey(got, want string) error {
	if want != "" {
		if want != got {
			return &exitError{code: exitFailed, err: fmt.Errorf("it is not %s; nothing was written", want)}
		}
		return nil
	}
	if !term.IsTerminal(f.stdin) {
		return &exitError{code: exitRefused, err: fmt.Errorf("there is no terminal to compare on\nNext: the same with --fingerprint SHA256:…, as its console shows it")}
	}
	fmt.Fprintln(f.stdout, "Compare on its console:  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")
	same, err := term.Confirm(f.stdin, f.stderr, "The same?")
	if err != nil {
		return err
	}
	if !same {
		return &exitError{code: exitFailed, err: fmt.Errorf("nothing was written")}
	}
	return nil
}

func runHostList(a *app) error {
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	t := term.Table{Header: []string{"HOST", "ADDRESS", "SYSTEM", "TAGS", "HOST KEY"}}
	for _, h := range f.spec.Hosts {
		target, err := f.target(h.Name)
		if err != nil {
			return err
		}
		key := ""
		if target.HostKey != "" {
			if key, err = remote.Fingerprint(target.HostKey); err != nil {
				return err
			}
		}
		tags := ""
		for i, tag := range h.Tags {
			if i > 0 {
				tags += " "
			}
			tags += tag
		}
		t.Add(h.Name, h.Address, h.System, tags, key)
	}
	return t.Write(a.stdout)
}
