package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/internal/term"
)

func newReleaseCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "release",
		Short: "The releases that hosts keep: who, when, what, and how it ended",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List the releases that are kept", Args: cobra.NoArgs,
			Example: "  nixmesh release list\n  nixmesh release list -o json",
			RunE:    func(cmd *cobra.Command, _ []string) error { return runReleaseList(cmd.Context(), a) }},
		&cobra.Command{Use: "show N", Short: "Show one release", Args: cobra.ExactArgs(1),
			Example: "  nixmesh release show 42",
			RunE:    func(cmd *cobra.Command, args []string) error { return runReleaseShow(cmd.Context(), a, args[0]) }},
	)
	return cmd
}

// history collects the releases of all hosts that answer, and of the local
// copy.
func (f *fleet) history(ctx context.Context) (*deploy.History, error) {
	d, err := f.deployer(ctx, deploy.SinkFunc(func(deploy.Event) {}))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	seen, h := d.Inspect(ctx, d.HostNames())
	for _, name := range d.HostNames() {
		if s := seen[name]; s.Unreachable() {
			fmt.Fprintf(f.stderr, "%s does not answer\n", name)
		}
	}
	for _, text := range h.Ignored {
		fmt.Fprintln(f.stderr, text)
	}
	return h, nil
}

func runReleaseList(ctx context.Context, a *app) error {
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	h, err := f.history(ctx)
	if err != nil {
		return err
	}
	if a.isJSON() {
		return printJSON(a.stdout, map[string]any{"schema": "nixmesh.releases/1", "releases": h.Views()})
	}
	style := a.style(a.stdout)
	t := term.Table{Header: []string{"RELEASE", "WHEN", "BY", "KIND", "HOSTS", "STATE", "MESSAGE"}, Right: []bool{true}}
	for _, s := range slices.Backward(h.All()) {
		r := s.Release
		kind := r.Kind
		if r.Restores > 0 {
			kind += fmt.Sprintf(" (= %d)", r.Restores)
		}
		when := term.Ago(a.now(), r.Time)
		if a.output == "wide" {
			when = r.Time.Format(time.RFC3339)
		}
		t.Add(strconv.Itoa(r.Number), when, r.By, kind, strconv.Itoa(len(s.Planned())), style.State(h.State(s)), r.Message)
	}
	if t.Len() == 0 {
		fmt.Fprintln(a.stdout, "No release yet.   "+deploy.Typed(a.lab, "nixmesh deploy"))
		return nil
	}
	return t.Write(a.stdout)
}

func runReleaseShow(ctx context.Context, a *app, number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return usageErrorf("release %q is not a number", number)
	}
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	h, err := f.history(ctx)
	if err != nil {
		return err
	}
	s := h.Find(n)
	if s == nil {
		return &exitError{code: exitFailed, err: fmt.Errorf("no host that answers keeps release %d\nNext: nixmesh release list", n)}
	}
	if a.isJSON() {
		return printJSON(a.stdout, h.View(s))
	}
	return showRelease(a, s, h.State(s))
}

func showRelease(a *app, s *deploy.Stored, state string) error {
	r := s.Release
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(a.stdout, "  %-9s %s\n", name, value)
		}
	}
	fmt.Fprintf(a.stdout, "release %d   %s, %s by %s   %s\n", r.Number, r.Kind, term.Ago(a.now(), r.Time), r.By, state)
	if r.Restores > 0 {
		line("restores", fmt.Sprintf("release %d", r.Restores))
	}
	line("message", r.Message)
	line("hash", s.Raw.Hash)
	line("parent", r.Parent)
	line("nixmesh", r.Nixmesh)
	line("spec", r.Spec)
	if m := r.Mesh; m != nil {
		line("mesh", fmt.Sprintf("version %d, configuration %s", m.Version, m.Config))
		line("kept", strings.Join(m.Kept, ", "))
		line("behind", strings.Join(m.Behind, ", "))
	}
	if r.Git != nil {
		line("git", r.Git.Revision+map[bool]string{true: " (with changes)"}[r.Git.Dirty])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Inputs)) {
		line("input", name+" "+r.Inputs[name])
	}
	for _, risk := range r.Risks {
		line("accepted", risk)
	}
	for _, o := range r.LabOverrides {
		line("lab", o)
	}
	fmt.Fprintln(a.stdout)
	style := a.style(a.stdout)
	t := term.Table{Header: []string{"HOST", "PLANNED", "END", "GEN", "TOPLEVEL"}}
	for _, name := range slices.Sorted(maps.Keys(r.Hosts)) {
		h, o := r.Hosts[name], s.Outcomes[name]
		planned, gen := "no", ""
		if h.Planned {
			planned = "yes"
		}
		if o.Generation > 0 {
			gen = strconv.Itoa(o.Generation)
		}
		end := style.State(o.End)
		if o.Reason != "" && o.End != "committed" {
			end += ": " + o.Reason
		}
		t.Add(name, planned, end, gen, h.Toplevel)
	}
	return t.Write(a.stdout)
}
