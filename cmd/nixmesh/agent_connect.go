package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/agentapi"
)

// newAgentConnectCmd is what the operator's nixmesh runs on a host over SSH, to
// speak with the agent there.
func newAgentConnectCmd(a *app) *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use: "connect", Short: "Connect stdin and stdout with the agent's socket", Args: cobra.NoArgs,
		Example: "  ssh app1 nixmesh agent connect",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runAgentConnect(cmd.Context(), a, socket) },
	}
	cmd.Flags().StringVar(&socket, "socket", agentapi.Socket, "the agent's socket")
	return cmd
}

func runAgentConnect(ctx context.Context, a *app, socket string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return &exitError{code: exitUnreachable, err: fmt.Errorf("%w\nNext: systemctl status nixmesh-agent", err)}
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() }) // ends the copies below
	defer stop()
	go func() { // ends with stdin, or with the process
		_, err := io.Copy(c, a.stdin)
		if unix, ok := c.(*net.UnixConn); ok && err == nil {
			_ = unix.CloseWrite() // the agent may be gone already
		}
	}()
	if _, err := io.Copy(a.stdout, c); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("read from the agent: %w", err)
	}
	return nil
}
