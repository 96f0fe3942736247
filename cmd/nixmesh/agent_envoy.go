package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

const (
	// envoyAnswersFor is how long a started Envoy may take until it answers; it
	// takes a quarter of a second.
	envoyAnswersFor = 15 * time.Second
	envoyAsksEvery  = 10 * time.Millisecond
)

// newAgentEnvoyCmd is what nixmesh-envoy.service waits with after its start.
func newAgentEnvoyCmd(a *app) *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use: "envoy-answers", Short: "Wait until Envoy answers on its admin socket", Hidden: true, Args: cobra.NoArgs,
		Long: `Wait until Envoy answers on its admin socket, at most 15 s. Whether it has its listeners
already does not matter: without its agent it has none, and that is the agent's to tell.

EXIT STATUS
  0   it answers
  1   it does not`,
		RunE: func(cmd *cobra.Command, _ []string) error { return awaitEnvoy(cmd.Context(), socket) },
	}
	cmd.Flags().StringVar(&socket, "socket", "/run/nixmesh/envoy-admin.sock", "Envoy's admin socket")
	return cmd
}

func awaitEnvoy(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, envoyAnswersFor)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	tick := time.NewTicker(envoyAsksEvery)
	defer tick.Stop()
	for {
		err := askEnvoy(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for Envoy: %w\nNext: journalctl -u nixmesh-envoy", err)
		case <-tick.C:
		}
	}
}

// askEnvoy takes any answer: 200 is LIVE, 503 names another state.
func askEnvoy(ctx context.Context, client *http.Client) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/ready", nil)
	if err != nil {
		return err
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<10))
	_ = answer.Body.Close()
	return err
}
