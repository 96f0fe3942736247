package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

func newStatusCmd(a *app) *cobra.Command {
	return a.selects(&cobra.Command{
		Use:   "status [HOST]",
		Short: "What every host runs now, on one screen",
		Example: `  nixmesh status
  nixmesh status app1
  nixmesh status -o json`,
		Long: `What every host runs now, on one screen; with a host: its units and its last run. Where
the fleet has a mesh: who is alive in it, how well its services are, when certificates end.

EXIT STATUS
  0   all well
  1   a unit is not active, or the mesh is not well
  5   a host is in neither state and needs a person
  6   something else answers at a host's address
  7   hosts unreachable`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runStatus(cmd.Context(), a, args) },
	})
}

func runStatus(ctx context.Context, a *app, args []string) error {
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	hosts, err := f.pickArgs(args)
	if err != nil {
		return err
	}
	d, err := f.deployer(ctx, deploy.SinkFunc(func(deploy.Event) {}))
	if err != nil {
		return err
	}
	defer d.Close()
	var s *deploy.FleetStatus
	if f.hasMesh() {
		s = d.StatusWithMesh(ctx, d.Agent, hosts)
	} else {
		s = d.Status(ctx, hosts)
	}
	s.CompareSpec(f.spec.Lab, f.specHash())
	style := a.style(a.stdout)
	switch {
	case a.isJSON():
		if err := printJSON(a.stdout, s); err != nil {
			return err
		}
	case len(args) > 0:
		for i, h := range s.Hosts {
			if i > 0 {
				fmt.Fprintln(a.stdout)
			}
			deploy.WriteHostStatus(a.stdout, h, style)
		}
	default:
		deploy.WriteStatus(a.stdout, s, style, a.now())
	}
	return exit(s.Exit())
}
