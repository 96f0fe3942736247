package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

type rollbackOptions struct {
	to       int
	message  string
	waitLock time.Duration
	accept   []string
}

func newRollbackCmd(a *app) *cobra.Command {
	var o rollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback [HOST...]",
		Short: "A new release with the contents of an older one; nothing is built",
		Example: `  nixmesh rollback
  nixmesh rollback app1
  nixmesh rollback --to 41 -y`,
		Long: `A new release with the contents of an older one: the newest complete one before
the live one, or --to N. Its systems are still on the hosts, so nothing is evaluated, built
or copied. Hosts switch as in a deploy, in the reverse order and all of a wave at once. Its mesh
configuration is signed again, as a new version.

EXIT STATUS
  0   done, or nothing to do
  1   failed; or the hosts are back, and the mesh configuration did not get to the agents
  4   at least one host went back to what it ran before
  5   a host is in neither state and needs a person
  6   refused: nothing to go back to, lease held, host drifted, not confirmed
  7   hosts unreachable; the others are done`,
		RunE: func(cmd *cobra.Command, args []string) error { return runRollback(cmd.Context(), a, args, o) },
	}
	f := cmd.Flags()
	f.IntVar(&o.to, "to", 0, "release whose contents to bring back")
	f.StringVar(&o.message, "message", "", "why, for the release record")
	f.DurationVar(&o.waitLock, "wait-lock", 0, "wait so long for a lease that is held")
	f.StringSliceVar(&o.accept, "accept", nil, "risks to accept, by name: drift, unread-loader")
	return a.selects(cmd)
}

func runRollback(ctx context.Context, a *app, args []string, o rollbackOptions) error {
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	hosts, err := f.pickArgs(args)
	if err != nil {
		return err
	}
	u := a.newUI()
	defer u.end()
	d, err := f.deployer(ctx, u.sink)
	if err != nil {
		return err
	}
	defer d.Close()
	u.step("asking hosts")
	p, err := d.PlanRollback(ctx, deploy.RollbackOptions{Hosts: hosts, To: o.to, Accept: o.accept})
	if err != nil {
		return failed(err)
	}
	u.pause()
	deploy.WriteRollback(u.text(), p, u.style, a.now())
	if code := p.Exit(); code != deploy.ExitDone && code != deploy.ExitUnreachable {
		return exit(code)
	}
	if !p.Changes() {
		fmt.Fprintf(u.text(), "Nothing to do: all hosts that answer run the contents of release %d.\n", p.Restores)
		return exit(p.Exit())
	}
	changing := 0
	for _, w := range p.Waves {
		changing += len(w.Hosts)
	}
	question := fmt.Sprintf("Roll back %s?", counted(changing, "host"))
	if changing == 0 {
		question = "No host is rebuilt. Roll back the mesh configuration?"
	}
	if err := a.confirm(question); err != nil {
		return err
	}
	s, err := d.Execute(ctx, p, deploy.ExecuteOptions{Rollback: true, WaitLock: o.waitLock,
		Run:    deploy.RunOptions{Settle: deploy.RollbackSettle, Accept: o.accept, Keep: f.spec.KeepReleases},
		Record: f.recordInfo(ctx, o.message, o.accept)})
	if err != nil {
		u.pause()
		return failed(err)
	}
	u.end()
	deploy.WriteSummary(u.text(), s, u.style)
	return exit(s.Exit)
}
