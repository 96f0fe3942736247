package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/guard"
)

// newHostGuardCmd is what a host's nixmesh-guard-watch.service runs, as root
// with CAP_NET_ADMIN and nothing else.
func newHostGuardCmd(a *app) *cobra.Command {
	var o guard.Options
	cmd := &cobra.Command{
		Use: "guard", Short: "Keep the kernel's table of who may connect where (run by its nixmesh-guard-watch.service)",
		Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runHostGuard(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Nft, "nft", "nft", "the `program` that loads the table")
	f.StringVar(&o.File, "table", "/etc/nixmesh/guard.nft", "the table, as nft reads it")
	f.StringVar(&o.Copy, "copy", "", "the copy of it that this process owns; \"\" is none")
	f.StringVar(&o.Report, "report", guard.ReportPath, "where to say how the table is")
	return cmd
}

func runHostGuard(ctx context.Context, a *app, o guard.Options) error {
	quiet := func(string) {} // what a deploy says about a signal
	a.note.Store(&quiet)
	logger, err := agentLogger(a, "text")
	if err != nil {
		return err
	}
	o.Logger = logger
	notify := notifier(a, logger)
	if notify == nil {
		notify = func(string) {}
	}
	o.Ready = func() { notify("READY=1") }
	o.Alive = func() { notify("WATCHDOG=1") }
	return guard.Run(ctx, o)
}
