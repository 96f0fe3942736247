package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/internal/term"
	"github.com/nixmesh/nixmesh/modules"
	"github.com/nixmesh/nixmesh/nix"
	"github.com/nixmesh/nixmesh/spec"
)

// allocate gives numbers to what has none in nixmesh.lock. A lock that would
// change is written where a person (or the lab) can commit it, and said on
// stderr; with --locked, and without a terminal, that ends the command (NM0701).
// Once is enough: asked again, it finds nothing to do.
func (f *fleet) allocate(locked bool) error {
	files := withLock(&spec.Loaded{Dir: f.spec.Dir, Files: f.hcl})
	if locked || f.lab == nil && !term.IsTerminal(f.stdin) {
		if stale := f.lock.Stale(f.spec); len(stale) > 0 {
			f.printDiagnostics(stale, files)
			return diagnosticsExit(stale)
		}
	}
	changed, found := f.lock.Allocate(f.spec)
	if len(found) > 0 {
		f.printDiagnostics(found, files)
		return diagnosticsExit(found)
	}
	if !changed {
		return nil
	}
	if err := f.lock.Write(f.spec.Dir); err != nil {
		return err
	}
	fmt.Fprintln(f.stderr, "nixmesh.lock changed: commit it")
	return nil
}

// built is what a build gave.
type built struct {
	toplevels deploy.Toplevels
	evaluated []string
	failed    map[string]error
	warnings  []string
}

// build builds the toplevels of hosts.
func (f *fleet) build(ctx context.Context, hosts []string, locked bool, events deploy.Sink) (*built, error) {
	w, err := f.prepare(ctx, locked)
	if err != nil {
		return nil, err
	}
	results, err := w.Build(ctx, hosts, nix.BuildOptions{}, func(e nix.Event) { buildEvent(events, e) })
	if err != nil {
		return nil, err
	}
	return collect(results), nil
}

// prepare compiles the fleet and lays out the flake that Nix builds from.
func (f *fleet) prepare(ctx context.Context, locked bool) (*nix.Workspace, error) {
	if n := len(f.warnings); n > 0 {
		fmt.Fprintf(f.stderr, "%s in the spec: %s\n", counted(n, "warning"), deploy.Typed(f.spec.Lab, "nixmesh validate"))
	}
	if err := f.allocate(locked); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find own executable: %w", err)
	}
	extra, err := f.labExtra()
	if err != nil {
		return nil, err
	}
	tree, err := nix.MaterializeNixmesh(f.state("nixmesh"), modules.FS, self, extra)
	if err != nil {
		return nil, err
	}
	ca, err := f.ca()
	if err != nil {
		return nil, err
	}
	out, err := compile.Compile(f.spec, f.lock, compile.Options{NixmeshVersion: version, NixmeshDir: tree.Dir, NixmeshNarHash: tree.NarHash,
		Lab: f.lab != nil, Nixpkgs: f.nixpkgs(), CA: ca, LabAnswers: labAnswers(f.spec)})
	if err != nil {
		return nil, err
	}
	replaced, err := f.labFiles()
	if err != nil {
		return nil, err
	}
	w := f.workspace()
	trees := make([]nix.HostTree, 0, len(out.Hosts))
	for _, h := range out.Hosts {
		trees = append(trees, nix.HostTree{Name: h.Name, System: h.System, Module: h.Module, KeyModule: h.KeyModule, Roots: h.Roots, Replaced: ownFiles(h.Roots, replaced)})
	}
	if err := w.Prepare(ctx, out.Flake, trees, tree); err != nil {
		return nil, refusedFile(err)
	}
	return w, nil
}

// ownFiles are those of some files that a host names: it sees no others.
func ownFiles(roots []string, files map[string]string) map[string]string {
	own := map[string]string{}
	for _, root := range roots {
		if file, ok := files[root]; ok {
			own[root] = file
		}
	}
	return own
}

// nixpkgs is the flake reference that replaces the fleet's: NIXMESH_NIXPKGS in
// the lab, "" otherwise.
func (f *fleet) nixpkgs() string {
	if f.lab == nil {
		return ""
	}
	return f.getenv("NIXMESH_NIXPKGS")
}

// workspace is the generated flake. The lab keeps its own lock file, as its
// nixpkgs is another.
func (f *fleet) workspace() *nix.Workspace {
	lock := filepath.Join(f.spec.Dir, "flake.lock")
	if f.lab != nil {
		lock = f.state("lab", "flake.lock")
	}
	return &nix.Workspace{Dir: f.state("build"), Fleet: f.spec.Dir, LockFile: lock, Cache: f.state("cache"), Tool: f.tool, LocalInputs: f.lab != nil}
}

// buildEvent turns nix's events into ours: the start and the end of an
// evaluation, what nix warns of, and what it is building.
func buildEvent(events deploy.Sink, e nix.Event) {
	if events == nil {
		return
	}
	out := deploy.Event{Kind: deploy.KindHost, Host: e.Host, Phase: deploy.PhaseBuild, State: deploy.StateProgress}
	switch e.Kind {
	case nix.EventEvaluate:
		out.Detail = "evaluating"
		if !e.Done {
			out.State = deploy.StateStart
		}
	case nix.EventBuild:
		if e.Done {
			return
		}
		out.Detail = strings.TrimSuffix(filepath.Base(e.Path), ".drv")
		if len(out.Detail) > 33 {
			out.Detail = out.Detail[33:]
		}
	case nix.EventNote:
		out = deploy.Event{Kind: deploy.KindNote, Host: e.Host, Detail: e.Text}
	default:
		return
	}
	events.Event(out)
}

func collect(results map[string]nix.Result) *built {
	b := &built{toplevels: deploy.Toplevels{}, evaluated: []string{}, failed: map[string]error{}}
	for _, h := range slices.Sorted(maps.Keys(results)) {
		r := results[h]
		if r.Err != nil {
			b.failed[h] = r.Err
			continue
		}
		b.toplevels[h] = r.Toplevel
		if r.Evaluated {
			b.evaluated = append(b.evaluated, h)
		}
		for _, w := range r.Warnings {
			b.warnings = append(b.warnings, h+": "+w)
		}
	}
	return b
}

// refusedFile turns a file that must not enter the store into a diagnostic.
func refusedFile(err error) error {
	var refused *nix.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	return &exitError{code: exitInvalid, err: fmt.Errorf("%s %w\nNext: %s", refused.Code(), err, refused.Next())}
}

// pinned refuses hosts whose key nobody has pinned, before anything is built.
func (f *fleet) pinned(hosts []string) error {
	if f.lab != nil {
		return nil
	}
	asked := spec.Fleet{}
	for _, h := range f.spec.Hosts {
		if slices.Contains(hosts, h.Name) {
			asked.Hosts = append(asked.Hosts, h)
		}
	}
	missing := spec.MissingHostKeys(&asked, f.lock)
	f.printDiagnostics(missing, f.hcl)
	return diagnosticsExit(missing)
}

// buildFailed prints what nix said and ends the command: nothing was contacted.
// The trace above nix's last error is for -v.
func (f *fleet) buildFailed(b *built) error {
	for _, h := range slices.Sorted(maps.Keys(b.failed)) {
		fmt.Fprintf(f.stderr, "%s  build FAIL\n", h)
		text := b.failed[h].Error()
		if said := (*nix.Error)(nil); errors.As(b.failed[h], &said) && !f.verbose {
			text = said.Short()
		}
		for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
			fmt.Fprintf(f.stderr, "%s  |  %s", h, line)
		}
	}
	return &exitError{code: exitFailed, err: fmt.Errorf("%s not built; no host was touched", counted(len(b.failed), "host"))}
}
