package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
)

type planOptions struct {
	locked   bool
	accept   []string
	exitCode bool
}

func newPlanCmd(a *app) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "What a deploy would change: hosts, packages, units, in which order",
		Example: `  nixmesh plan
  nixmesh plan --on @app -o json
  nixmesh plan --exit-code`,
		Long: `What a deploy would change: hosts, packages, units, in which order. Hosts are
asked and built for; nothing is changed. What a switch restarts is computed by the rules
of NixOS's switch from both systems' unit files. What each host's Envoy will be told is
tried on the Envoy at hand, 1.37 or newer: the one that NIXMESH_ENVOY names, else that
of PATH.

EXIT STATUS
  0   done, whether or not there are changes
  1   failed
  2   with --exit-code: changes are pending
  3   the spec is invalid, an Envoy would refuse what it is told, or --locked and
      nixmesh.lock would change
  5   a host is in neither state and needs a person
  6   a host would be refused: drifted, not the host of the spec; or the CA is about to end
  7   hosts unreachable`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPlan(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.locked, "locked", false, "fail where nixmesh.lock would change")
	f.BoolVar(&o.exitCode, "exit-code", false, "exit 2 when changes are pending")
	f.StringSliceVar(&o.accept, "accept", nil, "risks to accept, by name: drift, expiring-ca")
	return a.selects(cmd)
}

func runPlan(ctx context.Context, a *app, o planOptions) error {
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	hosts, err := f.pick(a.on)
	if err != nil {
		return err
	}
	u := a.newUI()
	defer u.end()
	d, err := f.deployer(ctx, u.sink)
	if err != nil {
		return err
	}
	defer d.Close()
	if d.CA, err = f.deployCA(); err != nil {
		return failed(err)
	}
	toplevels, evaluated, err := f.toplevels(ctx, d, u, hosts, o.locked)
	if err != nil {
		return failed(err)
	}
	p, err := f.plan(ctx, d, deploy.PlanOptions{Hosts: hosts, Accept: o.accept}, toplevels, evaluated)
	if err != nil {
		return failed(err)
	}
	u.end()
	if a.isJSON() {
		if err := printJSON(a.stdout, p); err != nil {
			return err
		}
	} else {
		deploy.WritePlan(u.text(), p, u.style, a.now())
		fmt.Fprintln(u.text(), "Nothing was changed.")
	}
	if code := p.Exit(); code != deploy.ExitDone {
		return exit(code)
	}
	if o.exitCode && p.Changes() {
		return &exitError{code: exitChanges}
	}
	return nil
}

// toplevels builds the hosts. They are asked what they run meanwhile, which
// also opens the connections.
func (f *fleet) toplevels(ctx context.Context, d *deploy.Deployer, u *ui, hosts []string, locked bool) (deploy.Toplevels, []string, error) {
	if err := f.pinned(hosts); err != nil {
		return nil, nil, err
	}
	if err := f.allocate(locked); err != nil { // before anybody is asked
		return nil, nil, err
	}
	u.step("building and asking " + counted(len(hosts), "host"))
	d.Prefetch(ctx)
	b, err := f.build(ctx, hosts, locked, u.sink)
	if err != nil {
		return nil, nil, err
	}
	u.pause()
	if len(b.failed) > 0 {
		return nil, nil, f.buildFailed(b)
	}
	for _, w := range b.warnings {
		fmt.Fprintln(f.stderr, "warning:", w)
	}
	return b.toplevels, b.evaluated, nil
}

// plan compares what was built with what the hosts run.
func (f *fleet) plan(ctx context.Context, d *deploy.Deployer, o deploy.PlanOptions, t deploy.Toplevels, evaluated []string) (*deploy.Plan, error) {
	next, err := f.meshNext()
	if err != nil {
		return nil, err
	}
	o.Mesh = next
	p, err := d.Plan(ctx, t, o)
	if err != nil {
		return nil, err
	}
	if p.Mesh.Publishes() || p.Changes() {
		if err := f.rehearse(ctx, d, p, next.Config); err != nil {
			return nil, err
		}
	}
	if n := len(f.spec.LabOverrides); n > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("lab overrides: %d", n))
	}
	p.Evaluated = evaluated
	return p, nil
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}
