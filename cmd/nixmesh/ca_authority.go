package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

func newCAAuthorityAddCmd(a *app) *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use: "add HOST", Short: "Let a host sign the certificates of services", Args: cobra.ExactArgs(1),
		Example: `  nixmesh ca authority add db2`,
		Long: `Let a host sign the certificates of services: it can then issue any identity of the mesh.
nixmesh.lock names it; plan shows it, and mesh apply or the next deploy makes it act. Its
intermediate is signed at once where its agent answers and the CA's root can be opened here,
else by that command.

` + identityHelp + `

EXIT STATUS
  0   the lock names it: commit it
  3   the spec has errors
  6   the fleet has no CA, or the host is an authority already`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCAAuthorityAdd(cmd.Context(), a, args[0], identity)
		},
	}
	cmd.Flags().StringVar(&identity, "identity", "", "the key that opens the root, a `FILE`")
	return cmd
}

func newCAAuthorityRemoveCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "remove HOST", Short: "Take that away from a host", Args: cobra.ExactArgs(1),
		Example: `  nixmesh ca authority remove db2`,
		Long: `Take from a host that it signs the certificates of services. nixmesh.lock names it no more;
plan shows it, and mesh apply or the next deploy makes it act: from then on its agent refuses to
sign. What it signed stays good to its end, and so does its intermediate for somebody who took
that from the host: after a break-in, make a new CA.

EXIT STATUS
  0   the lock names it no more: commit it
  3   the spec has errors
  6   the fleet has no CA, or nobody would be left who signs`,
		RunE: func(_ *cobra.Command, args []string) error { return runCAAuthorityRemove(a, args[0]) },
	}
}

// openAuthorities loads a fleet whose authorities are to change.
func (a *app) openAuthorities() (*fleet, error) {
	if a.lab {
		return nil, refusef("the lab's authorities are those of nixmesh.lock\nNext: the same without --lab")
	}
	f, err := a.openCA()
	if err == nil && f.lock.CA() == "" {
		err = errNoCA()
	}
	return f, err
}

func runCAAuthorityAdd(ctx context.Context, a *app, host, identity string) error {
	f, err := a.openAuthorities()
	if err != nil {
		return err
	}
	if _, err := f.target(host); err != nil {
		return usageErrorf("%w", err)
	}
	if !f.lock.AddAuthority(host) {
		return refusef("%s is an authority already\nNext: nixmesh ca status", host)
	}
	if err := f.lock.Write(f.spec.Dir); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "nixmesh.lock: authority %s, which can issue any identity of the mesh. Commit it.\n", host)
	line, err := f.signNow(ctx, host, identity)
	if err != nil {
		return failed(err)
	}
	fmt.Fprintf(a.stdout, "%s: %s\nNext: nixmesh mesh apply   makes it act at once; so does the next deploy\n", host, line)
	return nil
}

// signNow signs the intermediate of a new authority where that can be done
// before the deploy that makes it one, and says how it went.
func (f *fleet) signNow(ctx context.Context, host, identity string) (string, error) {
	ca, err := f.deployCA()
	if err != nil {
		return "", err
	}
	if identity != "" {
		ca.Open = f.rootOnce(ca.Roots, identity)
	}
	u := f.newUI()
	defer u.end()
	d, err := f.deployer(ctx, u.sink)
	if err != nil {
		return "", err
	}
	defer d.Close()
	d.CA = ca
	r := d.RenewAuthorities(ctx, deploy.RenewOptions{Hosts: []string{host}})[0]
	switch r.End {
	case deploy.AuthoritySigned:
		return "has its intermediate, until " + day(r.Until), nil
	case deploy.AuthorityCurrent:
		return "has an intermediate from before, until " + day(r.Until), nil
	}
	return fmt.Sprintf("no intermediate yet (%s); a deploy by %s signs it", strings.ReplaceAll(r.Error, "\n", "; "), strings.Join(ca.Able, " or ")), nil
}

func runCAAuthorityRemove(a *app, host string) error {
	f, err := a.openAuthorities()
	if err != nil {
		return err
	}
	have := f.lock.Authorities()
	switch {
	case !slices.Contains(have, host):
		return usageErrorf("%s is no authority: those are %s", host, strings.Join(have, ", "))
	case len(have) == 1:
		return refusef("%s is the only authority: nobody would be left who signs\nNext: nixmesh ca authority add HOST", host)
	}
	f.lock.RemoveAuthority(host)
	if err := f.lock.Write(f.spec.Dir); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "nixmesh.lock: %s is no authority any more. Commit it.\n%s signs until the mesh knows; left: %s\nNext: nixmesh mesh apply   makes it act at once; so does the next deploy\n",
		host, host, strings.Join(f.lock.Authorities(), ", "))
	return err
}
