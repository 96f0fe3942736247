package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/deploy"
)

func newMeshWatchCmd(a *app) *cobra.Command {
	return a.selects(&cobra.Command{
		Use:   "watch [HOST...]",
		Short: "Changes of hosts, services, documents and certificates, as they come",
		Example: `  nixmesh mesh watch
  nixmesh mesh watch db1 -o json   one object a line`,
		Long: `Changes of hosts, services, documents and certificates as one agent sees them, a line each,
until Ctrl-C. When that agent ends, another one is watched.

EXIT STATUS
  6   the fleet has no CA, so its hosts have no agents
  7   no agent answers
  130 Ctrl-C`,
		RunE: func(cmd *cobra.Command, args []string) error { return runMeshWatch(cmd.Context(), a, args) },
	})
}

// watchPause is how long a watch waits before it asks for another agent.
const watchPause = time.Second

func runMeshWatch(ctx context.Context, a *app, args []string) error {
	d, hosts, err := a.openMesh(ctx, args)
	if err != nil {
		return err
	}
	defer d.Close()
	width := 0
	for _, h := range d.HostNames() {
		width = max(width, len(h))
	}
	style := a.style(a.stdout)
	show := func(e agentapi.Event) {
		switch {
		case a.isJSON():
			// A failing write of stdout has nobody to be told to.
			_ = json.NewEncoder(a.stdout).Encode(e)
		default:
			fmt.Fprintln(a.stdout, deploy.EventLine(e, style, width, a.output == "wide"))
		}
	}
	silent := func(string) {} // what Ctrl-C says of hosts that are armed is for deploys
	a.note.Store(&silent)
	for {
		s := d.MeshStatus(ctx, d.Agent, hosts)
		if ctx.Err() != nil {
			return exit(deploy.ExitInterrupted)
		}
		if s.View == nil {
			deploy.WriteMeshStatus(a.stderr, s, a.style(a.stderr), false)
			return exit(s.Exit())
		}
		if !a.quiet {
			fmt.Fprintf(a.stderr, "changes as %s sees them; Ctrl-C ends\n", s.Host)
		}
		why := watchOne(ctx, d, s.Host, show)
		if ctx.Err() != nil {
			return exit(deploy.ExitInterrupted)
		}
		show(agentapi.Event{Time: a.now(), Kind: agentapi.EventLost, Host: s.Host, Detail: why.Error()})
		select {
		case <-ctx.Done():
			return exit(deploy.ExitInterrupted)
		case <-time.After(watchPause):
		}
	}
}

// watchOne shows what one agent sees until that ends, and says why it did.
func watchOne(ctx context.Context, d *deploy.Deployer, host string, show func(agentapi.Event)) error {
	c, err := d.Agent(ctx, host)
	if err != nil {
		return err
	}
	defer c.Close()
	for e, err := range c.Watch(ctx) {
		if err != nil {
			return err
		}
		show(e)
	}
	return agentapi.ErrWatchEnded
}
