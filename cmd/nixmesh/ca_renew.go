package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

func newCARenewCmd(a *app) *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use: "renew [HOST...]", Short: "Sign the intermediates of authorities, as a deploy does",
		Example: `  nixmesh ca renew              of all that have none, or one past half of its life
  nixmesh ca renew db1          of db1, whatever it has
  nixmesh ca renew --identity ~/keys/anna.txt`,
		Long: `Sign the intermediates of authorities: of those that have none, and of those whose intermediate
is past half of its life; of a HOST in any case. A deploy by an operator with ca = true does the
same. The key is born on the host and stays there; this machine signs the request.

` + identityHelp + `

EXIT STATUS
  0   signed, or nothing to sign
  1   an agent did not take its intermediate; the others have theirs
  6   the fleet has no CA, or its root cannot be opened here
  7   hosts unreachable; the others have theirs`,
		RunE: func(cmd *cobra.Command, args []string) error { return runCARenew(cmd.Context(), a, args, identity) },
	}
	cmd.Flags().StringVar(&identity, "identity", "", "the key that opens the root, a `FILE`")
	return cmd
}

// patienceOfRenew is how long an agent is asked again that is just starting.
const patienceOfRenew = 5 * time.Second

func runCARenew(ctx context.Context, a *app, args []string, identity string) error {
	f, err := a.openCA()
	if err != nil {
		return err
	}
	ca, err := f.deployCA()
	if err != nil {
		return failed(err)
	}
	if ca == nil {
		return errNoCA()
	}
	hosts := ca.Authorities
	if len(args) > 0 {
		if hosts, err = f.pickArgs(args); err != nil {
			return err
		}
	}
	for _, host := range hosts {
		if !slices.Contains(ca.Authorities, host) {
			return refusef("%s is no authority: those are %s\nNext: nixmesh ca authority add %s", host, strings.Join(ca.Authorities, ", "), host)
		}
	}
	if identity != "" && f.lab == nil {
		ca.Open = f.rootOnce(ca.Roots, identity)
	}
	u := a.newUI()
	defer u.end()
	d, err := f.deployer(ctx, u.sink)
	if err != nil {
		return err
	}
	defer d.Close()
	d.CA = ca
	results := d.RenewAuthorities(ctx, deploy.RenewOptions{Hosts: hosts, Wait: patienceOfRenew, All: len(args) > 0})
	u.end()
	return f.tellRenewal(ca, results)
}

// tellRenewal prints what became of each authority.
func (f *fleet) tellRenewal(ca *deploy.CA, results []deploy.AuthorityResult) error {
	worst := deploy.ExitDone
	if f.isJSON() {
		if err := printJSON(f.stdout, struct {
			Schema  string                   `json:"schema"`
			Results []deploy.AuthorityResult `json:"authorities"`
		}{"nixmesh.ca-renew/1", results}); err != nil {
			return err
		}
	}
	for _, r := range results {
		worst = deploy.Worst(worst, r.Exit())
		if f.isJSON() {
			continue
		}
		line := ca.Sentence(r)
		if r.End == deploy.AuthorityCurrent {
			line = fmt.Sprintf("needs none: %s is good until %s", r.Name, day(r.Until))
		}
		out := f.stdout
		if r.Exit() != deploy.ExitDone {
			out = f.stderr
		}
		if _, err := fmt.Fprintf(out, "%s: %s\n", r.Host, deploy.Typed(f.lab != nil, line)); err != nil {
			return err
		}
	}
	return exit(worst)
}
