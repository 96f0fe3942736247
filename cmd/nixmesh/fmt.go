package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/spec"
)

func newFmtCmd(a *app) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE...]",
		Short: "Give the HCL its canonical form",
		Example: `  nixmesh fmt                        all files of the fleet
  nixmesh fmt --check                print what would change, change nothing
  nixmesh fmt nixmesh.hcl`,
		Long: `Give the HCL its canonical form, and print the names of the files that changed.

EXIT STATUS
  0   done
  1   with --check: some file is not in its canonical form
  3   a file does not parse; it was left as it is`,
		RunE: func(_ *cobra.Command, args []string) error { return runFmt(a, args, check) },
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing, exit 1 if something would change")
	return cmd
}

func runFmt(a *app, names []string, check bool) error {
	all, files, found, err := formatted(a, names)
	if err != nil {
		return err
	}
	changed := 0
	for _, f := range all {
		if !f.Changed() {
			continue
		}
		changed++
		if !check {
			if err := f.Write(); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(a.stdout, f.Name); err != nil {
			return err
		}
	}
	a.printDiagnostics(found, files)
	switch {
	case found.HasErrors():
		return diagnosticsExit(found)
	case check && changed > 0:
		return &exitError{code: exitFailed, err: fmt.Errorf("%s not in canonical form: nixmesh fmt", counted(changed, "file"))}
	default:
		return nil
	}
}

// formatted reads the named files, or all of the fleet.
func formatted(a *app, names []string) ([]spec.Formatted, map[string][]byte, spec.Diagnostics, error) {
	if len(names) == 0 {
		all, files, found := spec.FormatFleet(a.dir)
		return all, files, found, nil
	}
	var all []spec.Formatted
	var found spec.Diagnostics
	files := map[string][]byte{}
	for _, name := range names {
		before, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read file: %w", err)
		}
		after, diags := spec.Format(name, before)
		files[name] = before
		found = append(found, diags...)
		if len(diags) == 0 {
			all = append(all, spec.Formatted{Name: name, Path: name, Before: before, After: after})
		}
	}
	return all, files, found, nil
}
