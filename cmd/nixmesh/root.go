package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Groups of the top level, in the order of the help.
const (
	groupWrite = "write"
	groupShip  = "ship"
	groupSee   = "see"
	groupHosts = "hosts"
	groupLab   = "lab"
	groupOther = "other"
)

func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "nixmesh",
		Short: "Deploy a fleet of NixOS machines so that each host proves its new system or goes back by itself",
		Long: `Deploy a fleet of NixOS machines so that each host proves its new system or goes back by itself.

  nixmesh validate           check the spec: no network, no Nix
  nixmesh plan               what would change, and where
  nixmesh deploy             build, copy, switch, verify, commit
  nixmesh rollback           put an older release back, without building
  nixmesh lab up             try all of it on hosts in namespaces on this machine`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.checkFlags()
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageErrorf("%w\nSee: %s --help", err, cmd.CommandPath())
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "directory", "C", defaultString(a.getenv("NIXMESH_FLEET"), "."), "the fleet's `folder`")
	f.BoolVar(&a.lab, "lab", a.getenv("NIXMESH_LAB") == "1", "the fleet as the lab runs it (lab.hcl)")
	f.StringArrayVar(&a.vars, "var", nil, "value of a variable, `NAME=VALUE`")
	f.StringVar(&a.on, "on", a.getenv("NIXMESH_ON"), "hosts: app1,edge-*,@tag,!x")
	f.StringVarP(&a.output, "output", "o", "text", "text, wide or json")
	f.BoolVar(&a.json, "json", false, "the same as -o json")
	f.StringVar(&a.progress, "progress", a.getenv("NIXMESH_PROGRESS"), "tty, plain or json")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "no progress, only the answer")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "more detail")
	f.BoolVarP(&a.yes, "yes", "y", false, "do not ask")

	root.AddGroup(
		&cobra.Group{ID: groupWrite, Title: "Write:"},
		&cobra.Group{ID: groupShip, Title: "Ship:"},
		&cobra.Group{ID: groupSee, Title: "See:"},
		&cobra.Group{ID: groupHosts, Title: "Hosts:"},
		&cobra.Group{ID: groupLab, Title: "Lab:"},
		&cobra.Group{ID: groupOther, Title: "Other:"},
	)
	root.SetHelpCommandGroupID(groupOther)
	root.SetCompletionCommandGroupID(groupOther)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupWrite, newFmtCmd(a), newValidateCmd(a), newShowCmd(a), newLockCmd(a))
	add(groupShip, newBuildCmd(a), newPlanCmd(a), newDeployCmd(a), newRollbackCmd(a), newReleaseCmd(a))
	add(groupSee, newStatusCmd(a))
	add(groupHosts, newHostCmd(a), newExecCmd(a))
	add(groupLab, newLabCmd(a))
	add(groupOther, newVersionCmd(a))
	return root
}

// checkFlags refuses values of global flags that mean nothing.
func (a *app) checkFlags() error {
	switch a.output {
	case "text", "wide", "json":
	default:
		return usageErrorf("output format %q is unknown: text, wide or json", a.output)
	}
	switch a.progress {
	case "", "tty", "plain", "json":
	default:
		return usageErrorf("progress %q is unknown: tty, plain or json", a.progress)
	}
	return nil
}

// printError says on stderr what failed. An exitError without a cause was
// reported by the command itself.
func printError(a *app, err error) {
	var e *exitError
	if errors.As(err, &e) && e.err == nil {
		return
	}
	msg := err.Error()
	if isUsage(msg) {
		msg += "\nSee: nixmesh --help"
	}
	fmt.Fprintf(a.stderr, "nixmesh: %s\n", msg)
}

// isUsage recognises cobra's own complaints, which have no type.
func isUsage(msg string) bool {
	return strings.HasPrefix(msg, "unknown command") || strings.HasPrefix(msg, "accepts ") ||
		strings.HasPrefix(msg, "requires at least") || strings.HasPrefix(msg, "required flag")
}

func defaultString(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
