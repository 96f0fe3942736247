package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/lab"
)

func newLabStatusCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "How the lab's hosts are, and what is broken on purpose",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return runLabStatus(cmd.Context(), a) },
	}
}

func runLabStatus(ctx context.Context, a *app) error {
	l, err := a.openLab(lab.Options{})
	if err != nil {
		return err
	}
	hosts, err := l.Status(ctx)
	if errors.Is(err, lab.ErrNotRunning) && a.isJSON() {
		hosts, err = []lab.HostStatus{}, nil
	}
	if err != nil {
		return labFailure(err)
	}
	if a.isJSON() {
		return json.NewEncoder(a.stdout).Encode(map[string]any{"schema": "nixmesh.lab/1", "hosts": hosts})
	}
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "HOST\tADDRESS\tSTATE\tFOR\tBOOTS\tDISK\tBROKEN")
	for _, h := range hosts {
		faults := strings.Join(h.Faults, ", ")
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d MB\t%s\n", h.Name, h.Address, h.State,
			a.now().Sub(h.Since).Round(1e9), h.Boots, h.Disk/1e6, defaultString(faults, "-"))
	}
	return table.Flush()
}
