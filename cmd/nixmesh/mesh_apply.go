package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/spec"
)

func newMeshApplyCmd(a *app) *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Publish routes, splits, permissions: seconds, no build",
		Example: `  nixmesh mesh apply
  nixmesh mesh apply -y --message "api v2 to half"`,
		Long: `Publish what the spec says of routes, splits, timeouts and permissions to the hosts' agents.
No host is built or switched: it is a release whose systems stay as they are, signed by you.
A new service, listener or upstream changes facts of hosts too, and needs a deploy. What each
host's Envoy will be told is tried first, as plan does it. Where two operators apply at once,
one wins on all hosts, and the other's command ends with exit 6. Before it asks, it names the
open connections that the change ends.

EXIT STATUS
  0   every agent and its Envoy act on it, or nothing to do
  1   failed, or an agent or its Envoy does not act on it; the message says which
  3   the spec is invalid, or an Envoy would refuse what it is told
  6   refused: hosts need a deploy, another operator was faster, lease held, no CA, not confirmed
  7   hosts unreachable; the others have it, and those get it when they are back`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runMeshApply(cmd.Context(), a, message) },
	}
	cmd.Flags().StringVar(&message, "message", "", "why, for the release record")
	_ = a.selects(cmd).Flags().MarkHidden("on") // there to be refused
	return cmd
}

func runMeshApply(ctx context.Context, a *app, message string) error {
	switch {
	case a.selected:
		return usageErrorf("a mesh configuration is the whole fleet's, so mesh apply takes no --on")
	case a.on != "":
		return usageErrorf("a mesh configuration is the whole fleet's, and NIXMESH_ON is %q\nNext: NIXMESH_ON= nixmesh mesh apply", a.on)
	}
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	if !f.hasMesh() {
		return errNoCA()
	}
	// A number that is new is a host that changes: the deploy writes the lock.
	if _, found := f.lock.Allocate(f.spec); len(found) > 0 {
		f.printDiagnostics(found, withLock(&spec.Loaded{Dir: f.spec.Dir, Files: f.hcl}))
		return diagnosticsExit(found)
	}
	next, err := f.meshNext()
	if err != nil {
		return failed(err)
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
	u.step("asking hosts")
	p, err := d.PlanMesh(ctx, next)
	if err != nil {
		return failed(err)
	}
	u.pause()
	if err := f.mayApply(p); err != nil {
		return err
	}
	if !p.Mesh.Acts {
		return f.nothingToApply(u, p)
	}
	if err := f.rehearse(ctx, d, p, next.Config); err != nil {
		return failed(err)
	}
	shown := u.text()
	if a.isJSON() {
		shown = a.stderr
	}
	deploy.WriteChanges(shown, p.Mesh)
	question := fmt.Sprintf("No host is rebuilt. Publish as release %d (mesh only), signed by %s?", p.Number, d.Operator)
	if err := a.confirm(question); err != nil {
		return err
	}
	if p.Signs() {
		_, _ = d.CA.Open(ctx) // asks for a passphrase now; what fails is told where it is missed
	}
	s, err := d.Execute(ctx, p, deploy.ExecuteOptions{Run: deploy.RunOptions{Keep: f.spec.KeepReleases}, Record: f.recordInfo(ctx, message, nil)})
	if err != nil {
		u.pause()
		return f.slower(err)
	}
	u.end()
	if a.isJSON() {
		if err := printJSON(a.stdout, s); err != nil {
			return err
		}
	} else {
		deploy.WriteApplied(u.text(), s, u.style)
	}
	return exit(s.Exit)
}

// slower is the end of an apply beside another release: what was shown to the
// operator is compared anew, so there is nothing to wait for.
func (f *fleet) slower(err error) error {
	if deploy.ExitOf(err) == deploy.ExitRefused {
		err = &deploy.Error{Exit: deploy.ExitRefused, Err: err, Next: deploy.Typed(f.spec.Lab, "nixmesh mesh apply") + "   again, when it is over"}
	}
	return failed(err)
}

// mayApply refuses what needs a deploy, and where nobody is there to take it.
func (f *fleet) mayApply(p *deploy.Plan) error {
	m := p.Mesh
	switch {
	case len(m.Needs) > 0:
		return f.needsDeploy(m)
	case len(m.Agents) > 0:
		return nil
	case len(m.Silent) > 0:
		return &exitError{code: exitUnreachable, err: fmt.Errorf("no agent answers: %s: %s\nNext: %s", m.Silent[0].Host, m.Silent[0].Error, deploy.Typed(f.spec.Lab, "nixmesh mesh status"))}
	case len(p.History().All()) == 0:
		return refusef("nothing is deployed yet\nNext: %s", deploy.Typed(f.spec.Lab, "nixmesh deploy"))
	}
	return &exitError{code: exitUnreachable, err: fmt.Errorf("no host answers\nNext: %s", deploy.Typed(f.spec.Lab, "nixmesh status"))}
}

// nothingToApply says what is in force already.
func (f *fleet) nothingToApply(u *ui, p *deploy.Plan) error {
	end := error(nil)
	if len(p.Mesh.Away) > 0 {
		end = exit(deploy.ExitUnreachable)
	}
	if f.isJSON() {
		return errors.Join(printJSON(f.stdout, p), end)
	}
	text := "Nothing to do: the agents act on this configuration"
	if l := p.Mesh.Live; l != nil && l.Version > 0 {
		text += fmt.Sprintf(", version %d by %s", l.Version, l.Operator)
	}
	if len(p.Mesh.Away) > 0 {
		text += fmt.Sprintf(".\nNo agent answers on %s, which takes it when it is back", strings.Join(p.Mesh.Away, ", "))
	}
	if _, err := fmt.Fprintln(u.text(), text+"."); err != nil {
		return err
	}
	return end
}

// needsDeploy names the hosts whose facts the spec changes, and the lines that do
// it where they are known.
func (f *fleet) needsDeploy(m *deploy.MeshPlan) error {
	t := term.Table{}
	explained := map[string]bool{}
	for _, c := range m.Changes {
		what, on := f.causes(c)
		var hosts []string
		for _, h := range on {
			if slices.Contains(m.Needs, h) {
				hosts = append(hosts, h)
				explained[h] = true
			}
		}
		if len(hosts) > 0 {
			t.Add("  "+strings.Join(hosts, ", "), what, c.Place)
		}
	}
	var rest []string
	for _, h := range m.Needs {
		if !explained[h] {
			rest = append(rest, h)
		}
	}
	if len(rest) > 0 {
		t.Add("  "+strings.Join(rest, ", "), "runs something else than the spec says", "")
	}
	var b strings.Builder
	_ = t.Write(&b) // into memory
	hosts := strings.Join(m.Needs, ",")
	return refusef("Refused: this also changes facts of hosts, which need a deploy.\n%s\nNext: %s", strings.TrimRight(b.String(), "\n"),
		deploy.Typed(f.spec.Lab, "nixmesh deploy --on "+hosts))
}

// causes says of a change of the mesh which facts of hosts it changes, too: the
// hosts of a caller whose upstreams change, and those of a service that comes or
// goes.
func (f *fleet) causes(c deploy.MeshChange) (what string, hosts []string) {
	name, rest, _ := strings.Cut(c.Subject, " ")
	s := f.service(name)
	if s == nil || c.Op == "~" {
		return "", nil
	}
	switch c.Kind {
	case "edge":
		return fmt.Sprintf("%s upstream %q of %s", c.Op, strings.TrimPrefix(rest, "-> "), name), s.On
	case "service":
		return fmt.Sprintf("%s service %q", c.Op, name), s.On
	case "version":
		return fmt.Sprintf("%s version %q of %s", c.Op, rest, name), s.On
	}
	return "", nil
}
