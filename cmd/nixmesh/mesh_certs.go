package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

func newMeshCertsCmd(a *app) *cobra.Command {
	return a.selects(&cobra.Command{
		Use:   "certs [HOST...]",
		Short: "The certificates that agents hold, when they end, and who signed them",
		Example: `  nixmesh mesh certs
  nixmesh mesh certs --on @app
  nixmesh mesh certs -o wide       a line for each host, with times`,
		Long: `The certificates that the hosts' agents hold: of services, of authorities, of the root.
Each agent knows its own, so all hosts are asked.

EXIT STATUS
  0   all well
  1   a certificate is missing, or is not renewed in time: see Attention
  6   the fleet has no CA, so its hosts have no agents
  7   an agent did not answer`,
		RunE: func(cmd *cobra.Command, args []string) error { return runMeshCerts(cmd.Context(), a, args) },
	})
}

func runMeshCerts(ctx context.Context, a *app, args []string) error {
	d, hosts, err := a.openMesh(ctx, args)
	if err != nil {
		return err
	}
	defer d.Close()
	c := d.MeshCerts(ctx, d.Agent, hosts)
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.isJSON() {
		if err := printJSON(a.stdout, c); err != nil {
			return err
		}
	} else {
		deploy.WriteMeshCerts(a.stdout, c, a.style(a.stdout), a.output == "wide")
	}
	return exit(c.Exit())
}
