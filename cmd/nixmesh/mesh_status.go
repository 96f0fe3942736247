package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

func newMeshStatusCmd(a *app) *cobra.Command {
	return a.selects(&cobra.Command{
		Use:   "status [HOST...]",
		Short: "Who is alive, what runs where and how well, which document is in force",
		Example: `  nixmesh mesh status
  nixmesh mesh status db1          as db1 sees it
  nixmesh mesh status -o wide      with addresses, hashes and every endpoint`,
		Long: `Who is alive, what runs where and how well, and which mesh configuration the hosts act on,
as the agent of one host sees it. Up to five agents are asked; one that knows most is
shown, and where others see it otherwise is said. With hosts: only those are asked.

EXIT STATUS
  0   all well
  1   something is not: see Attention
  6   the fleet has no CA, so its hosts have no agents
  7   no agent answered`,
		RunE: func(cmd *cobra.Command, args []string) error { return runMeshStatus(cmd.Context(), a, args) },
	})
}

func runMeshStatus(ctx context.Context, a *app, args []string) error {
	d, hosts, err := a.openMesh(ctx, args)
	if err != nil {
		return err
	}
	defer d.Close()
	s := d.MeshStatus(ctx, d.Agent, hosts)
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.isJSON() {
		if err := printJSON(a.stdout, s); err != nil {
			return err
		}
	} else {
		deploy.WriteMeshStatus(a.stdout, s, a.style(a.stdout), a.output == "wide")
	}
	return exit(s.Exit())
}
