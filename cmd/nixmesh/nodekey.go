package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/trust"
)

type nodekeyOptions struct {
	dir, host, hostKey string
}

// newHostNodekeyCmd is what a host's nixmesh-nodekey.service runs, as root.
func newHostNodekeyCmd(a *app) *cobra.Command {
	var o nodekeyOptions
	cmd := &cobra.Command{
		Use: "nodekey", Short: "Make the key by which a host's agent is known (run by its nixmesh-nodekey.service)",
		Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runHostNodekey(a, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.dir, "dir", "/var/lib/nixmesh/node", "`folder` for node.key and node.cert")
	f.StringVar(&o.host, "host", "", "name of the host; \"\" is as "+hostfacts.Path+" has it")
	f.StringVar(&o.hostKey, "host-key", "/etc/ssh/ssh_host_ed25519_key", "the host's SSH key")
	return cmd
}

func runHostNodekey(a *app, o nodekeyOptions) error {
	if o.host == "" {
		id, err := hostfacts.LoadIdentity(hostfacts.Path)
		if err != nil {
			return fmt.Errorf("find this host's name: %w", err)
		}
		o.host = id.Host
	}
	hostKey, err := os.ReadFile(o.hostKey)
	if err != nil {
		return fmt.Errorf("read the host's SSH key: %w\nNext: systemctl status sshd-keygen sshd", err)
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return fmt.Errorf("make folder of the node key: %w", err)
	}
	cert, made, err := trust.EnsureNode(o.dir, o.host, hostKey, a.now())
	if err != nil {
		return err
	}
	if made {
		fmt.Fprintf(a.stderr, "certified the node key %s of %s\n", cert.Key, cert.Host)
	}
	return nil
}
