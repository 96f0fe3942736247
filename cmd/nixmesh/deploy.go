package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/nix"
)

type deployOptions struct {
	parallel int
	confirm  time.Duration
	test     bool
	message  string
	locked   bool
	waitLock time.Duration
	accept   []string
	first    string
	as       string
}

func newDeployCmd(a *app) *cobra.Command {
	var o deployOptions
	cmd := &cobra.Command{
		Use:   "deploy",
		Short: "Build, copy, switch, verify, commit; a host that does not prove itself goes back",
		Example: `  nixmesh deploy
  nixmesh deploy --on @canary -y
  nixmesh deploy --first app1 --as root      a NixOS without nixmesh
  nixmesh deploy --test --on app1            switch, prove, go back`,
		Long: `Build, copy, switch, verify, commit. Each host runs the new system for a while,
proves it (units, checks, a new connection), and only then boots it by default. What
does not prove itself goes back by itself, also when this program or the network dies.
What each host's Envoy will be told is tried first, as plan does it.

EXIT STATUS
  0    done, or nothing to do
  1    failed; nothing was switched, or an agent or its Envoy does not act on the mesh
       configuration
  3    the spec is invalid, an Envoy would refuse what it is told, or --locked and
       nixmesh.lock would change
  4    at least one host went back to its old system
  5    a host is in neither state and needs a person
  6    refused: lease held, host drifted, CA about to end, not confirmed
  7    hosts unreachable; the others are done
  130  interrupted`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDeploy(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.IntVar(&o.parallel, "parallel", 0, "hosts at once within a wave")
	f.DurationVar(&o.confirm, "confirm", 0, "deadline for the proof, counted from the end of the activation")
	f.BoolVar(&o.test, "test", false, "never commit: go back after the proof")
	f.StringVar(&o.message, "message", "", "why, for the release record")
	f.BoolVar(&o.locked, "locked", false, "fail where nixmesh.lock would change")
	f.DurationVar(&o.waitLock, "wait-lock", 0, "wait so long for a lease that is held")
	f.StringSliceVar(&o.accept, "accept", nil, "risks to accept, by name: drift, unread-loader, expiring-ca")
	f.StringVar(&o.first, "first", "", "first contact with this host")
	f.StringVar(&o.as, "as", "root", "user of first contact: root, or one with passwordless sudo")
	a.selects(cmd).MarkFlagsMutuallyExclusive("first", "on")
	return cmd
}

func runDeploy(ctx context.Context, a *app, o deployOptions) error {
	if o.parallel < 0 || o.confirm < 0 || o.waitLock < 0 {
		return usageErrorf("--parallel, --confirm and --wait-lock take no negative value")
	}
	f, err := a.openFleet()
	if err != nil {
		return err
	}
	hosts, err := f.pick(defaultString(o.first, a.on))
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
	if o.first != "" {
		d.First, d.FirstUser = hosts, o.as
	}
	toplevels, evaluated, err := f.toplevels(ctx, d, u, hosts, o.locked)
	if err != nil {
		return failed(err)
	}
	for attempt := 1; ; attempt++ {
		err := f.deployOnce(ctx, d, u, o, deploy.PlanOptions{Hosts: hosts, Accept: o.accept}, toplevels, evaluated)
		if !errors.Is(err, deploy.ErrMoved) || o.waitLock == 0 || attempt == replans {
			return failed(err)
		}
		u.sink.Event(deploy.Event{Kind: deploy.KindNote, Detail: "another deployer was at work; planning again"})
	}
}

// replans bounds how often a deploy that waited for others plans again.
const replans = 3

// deployOnce plans, asks, and deploys.
func (f *fleet) deployOnce(ctx context.Context, d *deploy.Deployer, u *ui, o deployOptions, po deploy.PlanOptions, t deploy.Toplevels, evaluated []string) error {
	p, err := f.plan(ctx, d, po, t, evaluated)
	if err != nil {
		return err
	}
	u.pause()
	deploy.WritePlan(u.text(), p, u.style, f.now())
	if code := p.Exit(); code != deploy.ExitDone && code != deploy.ExitUnreachable {
		return exit(code)
	}
	if !p.Changes() || o.test && len(p.Waves) == 0 {
		if !o.test {
			d.RenewDue(ctx, p)
		}
		return exit(p.Exit())
	}
	if err := f.confirm(question(p)); err != nil {
		return err
	}
	if p.Signs() && !o.test {
		_, _ = d.CA.Open(ctx) // asks for a passphrase before the long part; what fails is told where it is missed
	}
	s, err := d.Execute(ctx, p, deploy.ExecuteOptions{
		Run:    deploy.RunOptions{Confirm: o.confirm, Accept: o.accept, Test: o.test, Keep: f.spec.KeepReleases, Hold: f.hold(o.test)},
		Record: f.recordInfo(ctx, o.message, o.accept), Parallel: o.parallel, WaitLock: o.waitLock,
	})
	if err != nil {
		u.pause()
		return err
	}
	u.end()
	deploy.WriteSummary(u.text(), s, u.style)
	return exit(s.Exit)
}

// question is the last thing before hosts are changed.
func question(p *deploy.Plan) string {
	var names []string
	first := false
	for _, w := range p.Waves {
		names = append(names, w.Hosts...)
	}
	for _, h := range p.Hosts {
		first = first || h.Action == deploy.ActionFirst
	}
	if len(names) == 0 {
		return fmt.Sprintf("No host is rebuilt. Publish the mesh configuration as release %d?", p.Number)
	}
	if first && len(names) == 1 {
		return fmt.Sprintf("Switch %s?", names[0])
	}
	return fmt.Sprintf("Deploy release %d to %s?", p.Number, strings.Join(names, ", "))
}

// hold lets a person look at a host under test; without a terminal the test
// ends at once.
func (f *fleet) hold(test bool) func(context.Context, string) {
	if !test || !term.IsTerminal(f.stdin) {
		return nil
	}
	return func(ctx context.Context, host string) {
		fmt.Fprintf(f.stderr, "%s runs the new system. Enter ends the test. ", host)
		done := make(chan struct{})
		go func() { // ends with the line, or with the process
			defer close(done)
			_, _ = term.Confirm(f.stdin, f.stderr, "")
		}()
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}

// recordInfo is what the release record says of where it came from.
func (f *fleet) recordInfo(ctx context.Context, message string, risks []string) deploy.RecordInfo {
	info := deploy.RecordInfo{Message: message, Spec: f.specHash(), Risks: risks, Git: gitOf(ctx, f.spec.Dir)}
	lock, err := os.ReadFile(f.workspace().LockFile)
	if err != nil {
		return info
	}
	inputs, err := nix.ReadInputs(lock)
	if err != nil {
		return info
	}
	info.Inputs = map[string]string{}
	for name, i := range inputs {
		info.Inputs[name] = defaultString(i.Rev, i.Ref)
	}
	return info
}

// gitOf asks git which commit the fleet's folder is at, nil where there is none.
func gitOf(ctx context.Context, dir string) *deploy.Git {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil {
		return nil
	}
	g := &deploy.Git{Revision: strings.TrimSpace(string(out))}
	status, err := exec.CommandContext(ctx, "git", "-C", dir, "status", "--porcelain", "--", ".").Output()
	g.Dirty = err != nil || len(status) > 0
	return g
}
