package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

func newExecCmd(a *app) *cobra.Command {
	return a.selects(&cobra.Command{
		Use:   "exec [--on HOSTS] -- CMD [ARG...]",
		Short: "Run a command on hosts at once, as the deploy user",

		DisableFlagsInUseLine: true, // they stand before the command
		Example: `  nixmesh exec -- uptime
  nixmesh exec --on @app -- journalctl -n 20 -u 'web*'
  nixmesh exec --on app1 -- 'df -h / | tail -1'      one word is a line of shell`,
		Long: `Run a command on hosts at once, as the deploy user. Each line of output carries the
host's name when there are several.

EXIT STATUS
  the highest of the command's, else 7 for hosts that did not answer`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runExec(cmd.Context(), a, args) },
	})
}

func runExec(ctx context.Context, a *app, args []string) error {
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	hosts, err := f.pick(a.on)
	if err != nil {
		return err
	}
	d, err := f.deployer(ctx, deploy.SinkFunc(func(deploy.Event) {}))
	if err != nil {
		return err
	}
	defer d.Close()
	results := d.Exec(ctx, hosts, args, a.stdout, a.stderr)
	for _, r := range results {
		if r.Error != "" {
			fmt.Fprintf(a.stderr, "%s\n", r.Error)
		}
	}
	return exit(deploy.ExecExit(results))
}
