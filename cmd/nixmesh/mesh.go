package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

func newMeshCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mesh",
		Short: "The mesh as the hosts' agents know it, and what is published to them",
		Long: `The mesh as the hosts' agents know it, and what is published to them. Agents are asked over
SSH, each on its own host, so an answer needs one host that is up and nothing else.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newMeshStatusCmd(a), newMeshApplyCmd(a), newMeshRoutesCmd(a), newMeshEndpointsCmd(a), newMeshCertsCmd(a), newMeshWatchCmd(a), newMeshDumpCmd(a))
	return cmd
}

// hasMesh says whether the fleet's hosts are to have agents.
func (f *fleet) hasMesh() bool { return f.lab != nil || f.lock.CA() != "" }

// openMesh loads the fleet for a command that asks agents, and gives the hosts
// of its arguments, or of --on. The deployer is the caller's to close.
func (a *app) openMesh(ctx context.Context, args []string) (*deploy.Deployer, []string, error) {
	f, err := a.openFleet()
	if err != nil {
		return nil, nil, err
	}
	if !f.hasMesh() {
		return nil, nil, errNoCA()
	}
	hosts, err := f.pickArgs(args)
	if err != nil {
		return nil, nil, err
	}
	d, err := f.deployer(ctx, deploy.SinkFunc(func(deploy.Event) {}))
	return d, hosts, err
}
