package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/lab"
)

// newLabPrepareCmd makes what every lab of this machine shares, so that a test
// run shows the minute that it takes and starts with it done.
func newLabPrepareCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "prepare",
		Short:  "Make the base image and fetch the Envoy that all labs of this machine share, where they are not there",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			state, err := os.MkdirTemp("", "nixmesh-lab-")
			if err != nil {
				return fmt.Errorf("prepare lab: %w", err)
			}
			defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
			l, err := lab.New(lab.Options{StateDir: state, Cache: a.getenv("NIXMESH_CACHE"), Log: func(line string) { fmt.Fprintln(a.stderr, line) }})
			if err != nil {
				return labFailure(err)
			}
			if err := l.Prepare(cmd.Context()); err != nil {
				return labFailure(err)
			}
			return labFailure(l.PrepareEnvoy(cmd.Context()))
		},
	}
}
