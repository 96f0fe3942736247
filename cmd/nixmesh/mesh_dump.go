package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/agentapi"
)

func newMeshDumpCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "dump HOST [" + strings.Join(agentapi.DumpParts(), "|") + "]",
		Short: "What the Envoy of a host is told, as JSON and without keys",
		Example: `  nixmesh mesh dump app1
  nixmesh mesh dump app1 listeners
  nixmesh mesh dump app1 envoy                what Envoy says that it has
  nixmesh mesh dump app1 | jq '.resources[] | select(.name == "u:web:api").content'`,
		Long: `What the Envoy of a host is told, as JSON and without keys: each resource with the part of
the mesh configuration that it is for, its version, and the version that Envoy acknowledged.
Without a part: all that the agent has. The part envoy is Envoy's own dump.

EXIT STATUS
  0   done
  6   the fleet has no CA, so its hosts have no agents
  7   the agent, or its Envoy, did not answer`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return runMeshDump(cmd.Context(), a, args) },
	}
}

func runMeshDump(ctx context.Context, a *app, args []string) error {
	part := ""
	if len(args) > 1 {
		part = args[1]
		if !slices.Contains(agentapi.DumpParts(), part) {
			return usageErrorf("there is no part %q; parts are %s", part, strings.Join(agentapi.DumpParts(), ", "))
		}
	}
	d, hosts, err := a.openMesh(ctx, args[:1])
	if err != nil {
		return err
	}
	defer d.Close()
	if len(hosts) != 1 {
		return usageErrorf("%s are %d hosts: one host is dumped at a time", args[0], len(hosts))
	}
	c, err := d.Agent(ctx, hosts[0])
	if err != nil {
		return failed(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, dumpPatience, fmt.Errorf("not all of it came within %s", dumpPatience))
	defer cancel()
	dump, err := c.Dump(ctx, part)
	if err == nil {
		defer dump.Close()
		err = printForeignJSON(a.stdout, dump)
	}
	var own *exitError
	if err != nil && !errors.As(err, &own) {
		err = &exitError{code: exitUnreachable, err: fmt.Errorf("%s: %w", hosts[0], err)}
	}
	return err
}

// dumpPatience bounds all of a dump; the agent gives up sooner.
const dumpPatience = 3 * time.Minute
