package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/internal/term"
)

func newBuildCmd(a *app) *cobra.Command {
	var locked bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the hosts' systems and print them; no host is contacted",
		Example: `  nixmesh build
  nixmesh build --on app1 -o json`,
		Long: `Build the hosts' systems and print them; no host is contacted. A host of which
nothing changed is not evaluated.

EXIT STATUS
  0   built
  1   Nix failed; what it said names the HCL line
  3   the spec is invalid, or --locked and nixmesh.lock would change`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBuild(cmd.Context(), a, locked) },
	}
	cmd.Flags().BoolVar(&locked, "locked", false, "fail where nixmesh.lock would change")
	return a.selects(cmd)
}

func runBuild(ctx context.Context, a *app, locked bool) error {
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	hosts, err := f.pick(a.on)
	if err != nil {
		return err
	}
	u := a.newUI()
	b, err := f.build(ctx, hosts, locked, u.sink)
	u.end()
	if err != nil {
		return failed(err)
	}
	for _, w := range b.warnings {
		fmt.Fprintln(a.stderr, "warning:", w)
	}
	if len(b.failed) > 0 {
		return f.buildFailed(b)
	}
	if a.isJSON() {
		return printJSON(a.stdout, map[string]any{"schema": "nixmesh.build/1", "toplevels": b.toplevels, "evaluated": b.evaluated})
	}
	t := term.Table{Header: []string{"HOST", "TOPLEVEL", "BUILD"}}
	for _, h := range slices.Sorted(maps.Keys(b.toplevels)) {
		how := "unchanged"
		if slices.Contains(b.evaluated, h) {
			how = "evaluated"
		}
		t.Add(h, b.toplevels[h], how)
	}
	return t.Write(a.stdout)
}
