package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/nixmesh/nixmesh/deploy"
)

// Groups of the top level, in the order of the help.
const (
	groupWrite   = "write"
	groupShip    = "ship"
	groupSee     = "see"
	groupHosts   = "hosts"
	groupMesh    = "mesh"
	groupSecrets = "secrets"
	groupLab     = "lab"
	groupOther   = "other"
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
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.selected = cmd.Flags().Changed("on")
			return a.checkFlags()
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Args = knownCommand
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageErrorf("%w%s\nSee: %s --help", err, flagHint(cmd, err), cmd.CommandPath())
	})
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "directory", "C", defaultString(a.getenv("NIXMESH_FLEET"), "."), "the fleet's `folder`")
	f.BoolVar(&a.lab, "lab", a.getenv("NIXMESH_LAB") == "1", "the fleet as the lab runs it (lab.hcl)")
	f.StringArrayVar(&a.vars, "var", nil, "value of a variable, `NAME=VALUE`")
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
		&cobra.Group{ID: groupMesh, Title: "Mesh:"},
		&cobra.Group{ID: groupSecrets, Title: "Secrets:"},
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
	add(groupWrite, newFmtCmd(a), newValidateCmd(a), newShowCmd(a), newLockCmd(a), newUpdateCmd(a))
	add(groupShip, newBuildCmd(a), newPlanCmd(a), newDeployCmd(a), newRollbackCmd(a), newReleaseCmd(a))
	add(groupSee, newStatusCmd(a), newExplainCmd(a))
	add(groupHosts, newHostCmd(a), newExecCmd(a))
	add(groupMesh, newMeshCmd(a), newCACmd(a))
	add(groupSecrets, newSecretCmd(a))
	add(groupLab, newLabCmd(a))
	add(groupOther, newAgentCmd(a), newSchemaCmd(a), newVersionCmd(a))
	for _, c := range root.Commands() {
		if c.HasSubCommands() {
			c.Args = knownCommand
		}
	}
	return root
}

// knownCommand refuses a word that is no command, and names the nearest one.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(". Did you mean %q?", near[0])
	}
	return usageErrorf("%s has no command %q%s\nSee: %s --help", cmd.CommandPath(), args[0], hint, cmd.CommandPath())
}

// selects gives a command --on. Only those have it that heed it.
func (a *app) selects(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&a.on, "on", a.getenv("NIXMESH_ON"), "hosts: app1,edge-*,@tag,!x")
	return cmd
}

// flagHint is ". Did you mean --on?" for an unknown flag, or nothing. One
// letter is near to every short name, so it says nothing.
func flagHint(cmd *cobra.Command, err error) string {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || unknown.GetSpecifiedShortnames() != "" {
		return ""
	}
	if unknown.GetSpecifiedName() == "on" {
		return fmt.Sprintf(": %s selects no hosts", cmd.CommandPath())
	}
	best, distance := "", 3
	consider := func(f *pflag.Flag) {
		if d := levenshtein.Distance(f.Name, unknown.GetSpecifiedName(), nil); d < distance && !f.Hidden {
			best, distance = f.Name, d
		}
	}
	cmd.Flags().VisitAll(consider)
	cmd.InheritedFlags().VisitAll(consider)
	if best == "" {
		return ""
	}
	return fmt.Sprintf(". Did you mean --%s?", best)
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
func printError(a *app, cmd *cobra.Command, err error) {
	var e *exitError
	if errors.As(err, &e) && e.err == nil {
		return
	}
	msg, next, advised := strings.Cut(err.Error(), "\nNext: ")
	if advised {
		msg += "\nNext: " + deploy.Typed(a.lab, next)
	}
	if isUsage(msg) {
		msg = fmt.Sprintf("%s\nUsage: %s\nSee: %s --help", msg, cmd.UseLine(), cmd.CommandPath())
	}
	fmt.Fprintf(a.stderr, "nixmesh: %s\n", msg)
}

// isUsage recognises cobra's own complaints about arguments, which have no type.
func isUsage(msg string) bool {
	return strings.HasPrefix(msg, "accepts ") || strings.HasPrefix(msg, "requires at least") ||
		strings.HasPrefix(msg, "required flag") || strings.HasPrefix(msg, "if any flags in the group") || strings.HasPrefix(msg, "unknown command")
}

func defaultString(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
