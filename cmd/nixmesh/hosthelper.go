package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/rollback"
	"github.com/nixmesh/nixmesh/trust"
)

// helperVerbs are the words after `nixmesh host` that belong to the host's
// half of a deploy; the others (trust) are the operator's.
var helperVerbs = []string{
	rollback.VerbPreflight, rollback.VerbLease, rollback.VerbRecord, rollback.VerbRoot, rollback.VerbActivate,
	rollback.VerbCommit, rollback.VerbRevert, rollback.VerbStatus, rollback.VerbLog,
	"switched", "verify", "commit-run", "commit-failed", "undo", "revert-run", "reconcile",
}

// checkChildVerb is how hostfacts calls this program back, as the user of a
// service, to make one check.
const checkChildVerb = "check-child"

// isHelper says whether the command line is one of the host's half.
func isHelper(args []string) bool {
	return len(args) >= 2 && args[0] == "host" && (args[1] == checkChildVerb || args[1] == checkExecVerb || slices.Contains(helperVerbs, args[1]))
}

// runHost is the host's half of a deploy. installed: called as nixmesh-host,
// the one name that sudo allows.
func runHost(ctx context.Context, args []string, installed bool) int {
	if !installed && args[0] == checkChildVerb {
		return hostfacts.ChildMain(os.Stdin, os.Stdout)
	}
	if !installed && args[0] == checkExecVerb {
		return runCheckExec(args[1:])
	}
	env := rollback.System()
	env.Version = version
	env.Installed = installed
	env.Check = func(ctx context.Context, c hostfacts.Check) (bool, string) {
		return hostfacts.RunAs(ctx, env.Executable, c)
	}
	env.Signature = func(allowed []string, namespace string, message []byte, armored string) error {
		if _, err := trust.Verify(armored, namespace, message, allowed); err != nil {
			return fmt.Errorf("check the operator's signature: %w", err)
		}
		return nil
	}
	return rollback.Main(ctx, env, args)
}
