package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// checkExecVerb is what the unit of an exec check calls, with the check's name.
const checkExecVerb = hostfacts.ExecVerb

// runCheckExec runs an exec check of the running system. It is the unit's main
// process, so its answer is on stdout, which is the socket that asked.
func runCheckExec(args []string) int {
	if len(args) != 1 {
		_, _ = os.Stderr.WriteString("usage: nixmesh host " + checkExecVerb + " NAME; the unit of an exec check calls it\n")
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return hostfacts.ExecMain(ctx, hostfacts.Path, args[0], os.Stdout)
}
