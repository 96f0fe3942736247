package main

import (
	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/spec"
)

func newSecretCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "secret",
		Short: "The fleet's secrets: age files for the hosts that need them and for the operators",
		Long: `The fleet's secrets: age files for the hosts that need them and for the operators.

A service names its secrets in the HCL. This machine encrypts them, to the SSH host keys
of the hosts that the service runs on and to every operator with an age key; the hosts
open them. FILE is as the HCL writes it: below the fleet's folder.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSecretSetCmd(a), newSecretEditCmd(a), newSecretRekeyCmd(a), newSecretListCmd(a), newSecretUnsealCmd(a))
	return cmd
}

// openSecrets loads the fleet for a command that writes its age files, which
// may be missing or for the wrong hosts until then. The lab makes its own.
func (a *app) openSecrets() (*fleet, error) {
	if a.lab {
		return nil, refusef("the lab encrypts its secrets itself, from the clear texts in lab.hcl")
	}
	return a.openFleetFor(spec.Options{MendSecrets: true})
}
