package main

import (
	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/spec"
)

func newCACmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "The mesh's CA: make it, see how old it is, choose who signs",
		Long: `The mesh's CA. Its root is kept by the operators with ca = true, encrypted, in the fleet's
folder; it signs an intermediate for each authority, a host that signs the certificates of
services. The mesh is on when the fleet has a CA.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	authority := &cobra.Command{
		Use: "authority", Short: "Choose the hosts that sign certificates", Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	authority.AddCommand(newCAAuthorityAddCmd(a), newCAAuthorityRemoveCmd(a))
	cmd.AddCommand(newCAInitCmd(a), newCAStatusCmd(a), newCARenewCmd(a), authority)
	return cmd
}

// openCA loads the fleet for a command about its CA. Age files may be missing or
// for the wrong hosts: that is another command's matter.
func (a *app) openCA() (*fleet, error) { return a.openFleetFor(spec.Options{MendSecrets: true}) }

// errNoCA is a fleet whose mesh is off.
func errNoCA() error {
	return refusef("the fleet has no CA yet, so its mesh is off\nNext: nixmesh ca init")
}
