package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/lab"
)

func newLabSSHCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "ssh HOST [-- COMMAND...]",
		Short: "A shell or a command as root on a host of the lab",
		Example: `  nixmesh lab ssh app1
  nixmesh lab ssh app1 -- systemctl --failed`,
		Long: `A shell or a command as root on a host of the lab, with the lab's key.

EXIT STATUS
  that of the command, or 255 when the host does not answer`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageErrorf("lab ssh needs a host")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runLabSSH(cmd.Context(), a, args[0], args[1:])
		},
	}
}

func runLabSSH(ctx context.Context, a *app, host string, command []string) error {
	l, err := a.openLab(lab.Options{})
	if err != nil {
		return err
	}
	hosts, err := l.Status(ctx)
	if err != nil {
		return labFailure(err)
	}
	var names []string
	for _, h := range hosts {
		if h.Name != host {
			names = append(names, h.Name)
			continue
		}
		cmd := l.SSH(ctx, h, command)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = a.stdin, a.stdout, a.stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Exited() {
			return &exitError{code: exit.ExitCode()}
		}
		if err != nil {
			return fmt.Errorf("run ssh: %w", err)
		}
		return nil
	}
	return usageErrorf("the lab has no host %q; it has %s", host, strings.Join(names, ", "))
}
