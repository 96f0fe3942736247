package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

func newMeshEndpointsCmd(a *app) *cobra.Command {
	return a.selects(&cobra.Command{
		Use:   "endpoints [SERVICE]",
		Short: "Whom each caller reaches: as its Envoy was told, and what Envoy says of it",
		Example: `  nixmesh mesh endpoints
  nixmesh mesh endpoints api
  nixmesh mesh endpoints api --on app1    as the callers on app1 have them
  nixmesh mesh endpoints -o wide          with zones, weights, and what Envoy counted`,
		Long: `Whom each caller reaches. Callers of one host share its Envoy, which has endpoints for each
caller and upstream; each host's agent knows what it told its Envoy, and asks Envoy what it
makes of them. HEALTH is what Envoy was told, ENVOY is "same" where it has that, or what else:
an endpoint that failed too often is failed_outlier_check, whatever its own host says.

Endpoints of priority 0 are called as long as enough of them are well.

EXIT STATUS
  0   all well
  1   a caller reaches nobody, or an Envoy does not answer: see Attention
  6   the fleet has no CA, so its hosts have no agents
  7   an agent did not answer`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runMeshEndpoints(cmd.Context(), a, args) },
	})
}

func runMeshEndpoints(ctx context.Context, a *app, args []string) error {
	d, hosts, err := a.openMesh(ctx, nil)
	if err != nil {
		return err
	}
	defer d.Close()
	service := ""
	if len(args) > 0 {
		service = args[0]
	}
	c := d.MeshCalls(ctx, d.Agent, hosts, service)
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.Unknown(service); err != nil {
		return &exitError{code: exitUsage, err: err}
	}
	if a.isJSON() {
		if err := printJSON(a.stdout, c); err != nil {
			return err
		}
	} else {
		deploy.WriteMeshCalls(a.stdout, c, a.style(a.stdout), a.output == "wide")
	}
	return exit(c.Exit())
}
