package main

import (
	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/unseal"
)

// newSecretUnsealCmd is what a host's nixmesh-unseal.service runs, as root.
func newSecretUnsealCmd(*app) *cobra.Command {
	var mount, unmount bool
	cmd := &cobra.Command{
		Use: "unseal MANIFEST", Short: "Open a host's secrets (run by its nixmesh-unseal.service)", Hidden: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if mount || unmount {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case mount:
				return unseal.Mount(hostfacts.SecretsMount)
			case unmount:
				return unseal.Unmount(hostfacts.SecretsMount)
			default:
				return unseal.Run(args[0], hostfacts.SecretsMount)
			}
		},
	}
	cmd.Flags().BoolVar(&mount, "mount", false, "only make the tmpfs that the secrets will be in")
	cmd.Flags().BoolVar(&unmount, "unmount", false, "only take that tmpfs away")
	cmd.MarkFlagsMutuallyExclusive("mount", "unmount")
	return cmd
}
