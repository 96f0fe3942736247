package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/nix"
)

func newUpdateCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "update [INPUT...]",
		Short: "Move the pins in flake.lock: of the inputs named, or of all",
		Example: `  nixmesh update
  nixmesh update nixpkgs`,
		Long: `Move the pins in flake.lock: of the inputs named, or of all. Nothing else moves
them. Commit the file; the next plan shows what it changes.

EXIT STATUS
  0   done, whether or not a pin moved
  1   an input cannot be reached
  3   the spec is invalid`,
		RunE: func(cmd *cobra.Command, args []string) error { return runUpdate(cmd.Context(), a, args) },
	}
}

func runUpdate(ctx context.Context, a *app, names []string) error {
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	for _, n := range names {
		if _, ok := f.spec.Inputs[n]; !ok && n != "nixpkgs" {
			return usageErrorf("the fleet has no input %q: it has nixpkgs %v", n, slices.Sorted(maps.Keys(f.spec.Inputs)))
		}
	}
	w, err := f.prepare(ctx, false)
	if err != nil {
		return failed(err)
	}
	before, err := pins(w.LockFile)
	if err != nil {
		return err
	}
	if err := w.Update(ctx, names...); err != nil {
		return failed(err)
	}
	after, err := pins(w.LockFile)
	if err != nil {
		return err
	}
	moved := 0
	for _, name := range slices.Sorted(maps.Keys(after)) {
		was, is := pinText(before[name]), pinText(after[name])
		if was == is {
			fmt.Fprintf(a.stdout, "%s  %s\n", name, is)
			continue
		}
		moved++
		fmt.Fprintf(a.stdout, "%s  %s -> %s\n", name, was, is)
	}
	if moved > 0 {
		fmt.Fprintln(a.stderr, "flake.lock changed: commit it")
	}
	return nil
}

// pins reads a lock file; one that does not exist pins nothing.
func pins(file string) (map[string]nix.Input, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]nix.Input{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read pins: %w", err)
	}
	return nix.ReadInputs(b)
}

// pinText is a pin as people compare it: seven digits of the revision.
func pinText(i nix.Input) string {
	switch {
	case len(i.Rev) > 7:
		return i.Rev[:7]
	case i.Rev != "":
		return i.Rev
	case i.Ref != "":
		return i.Ref
	}
	return "-"
}
