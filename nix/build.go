package nix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// BuildOptions bound a build.
type BuildOptions struct {
	EvalMemory int64 // bytes of one evaluation, 0 = DefaultEvalMemory
	Builds     int   // nix build processes at once, 0 = one per host
	// EvaluateOnly are hosts whose derivation is built elsewhere (build_on =
	// "target"): their Result has Drv, and the Toplevel that it will make.
	EvaluateOnly []string
}

// Result is one host's build.
type Result struct {
	Toplevel  string
	Drv       string
	Evaluated bool     // false = the cache knew the key
	Whole     bool     // evaluated with the whole allowed folder
	Warnings  []string // of the evaluation
	Err       error    // Nix's own text, with the places of the HCL
}

// ErrLockStale is a flake.lock that does not fit the inputs.
var ErrLockStale = errors.New("flake.lock does not fit the inputs of the fleet; run: nixmesh update")

// Build finds or makes the toplevel of each host named. A host whose key is in
// the cache, with a path that is valid, is not evaluated. The others are
// evaluated side by side within the memory budget, and built as each
// evaluation ends. One host's failure is its Result.Err; the error returned is
// one that concerns them all. ev may be called from several goroutines.
func (w *Workspace) Build(ctx context.Context, hosts []string, o BuildOptions, ev func(Event)) (map[string]Result, error) {
	keys, err := w.Keys(ctx)
	if err != nil {
		return nil, err
	}
	b := builder{Workspace: w, opts: o, keys: keys, sink: ev, results: map[string]Result{}}
	for _, h := range hosts {
		if _, ok := keys[h]; !ok {
			return nil, fmt.Errorf("build %s: the host is not in the workspace", h)
		}
	}
	misses, err := b.hits(ctx, hosts)
	if err != nil {
		return nil, err
	}
	missing := b.all(ctx, misses)
	if stale := b.stale(misses); len(stale) > 0 && w.LocalInputs {
		if err := b.relock(ctx); err != nil {
			return nil, err
		}
		missing = append(missing, b.all(ctx, stale)...)
	}
	if len(missing) > 0 {
		if err := b.widen(ctx, missing); err != nil {
			return nil, err
		}
		b.all(ctx, missing)
	}
	if cause := context.Cause(ctx); cause != nil {
		return b.results, fmt.Errorf("build: %w", cause)
	}
	if len(b.results) != len(hosts) {
		return nil, fmt.Errorf("build: %d hosts asked, %d toplevels got", len(hosts), len(b.results))
	}
	return b.results, nil
}

type builder struct {
	*Workspace
	opts BuildOptions
	keys map[string]string
	sink func(Event)

	mu      sync.Mutex // guards results
	results map[string]Result
}

func (b *builder) emit(host string, e Event) {
	if b.sink != nil {
		e.Host = host
		b.sink(e)
	}
}

func (b *builder) set(host string, r Result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.results[host] = r
}

func (b *builder) elsewhere(host string) bool { return slices.Contains(b.opts.EvaluateOnly, host) }

// hits answers what the cache knows, after one question about all paths, and
// returns the other hosts.
func (b *builder) hits(ctx context.Context, hosts []string) (misses []string, err error) {
	known := map[string]cached{}
	var paths []string
	for _, h := range hosts {
		c, ok := b.recall(b.keys[h])
		if !ok {
			continue
		}
		known[h] = c
		if b.elsewhere(h) {
			paths = append(paths, c.Drv)
		} else {
			paths = append(paths, c.Toplevel)
		}
	}
	invalid, err := b.Tool.invalid(ctx, paths)
	if err != nil {
		return nil, err
	}
	for _, h := range hosts {
		c, ok := known[h]
		if !ok || invalid[c.Toplevel] || invalid[c.Drv] {
			misses = append(misses, h)
			continue
		}
		if !b.elsewhere(h) && !b.rooted(h, c.Toplevel) {
			if err := b.addRoot(ctx, h, c.Toplevel); err != nil {
				return nil, err
			}
		}
		b.set(h, Result{Toplevel: c.Toplevel, Drv: c.Drv, Whole: b.whole[h]})
	}
	return misses, nil
}

// all evaluates and builds, and returns the hosts whose evaluation missed a
// file that the scan did not see.
func (b *builder) all(ctx context.Context, hosts []string) (missing []string) {
	evals := make(chan struct{}, evalSlots(b.opts.EvalMemory))
	builds := make(chan struct{}, max(b.opts.Builds, len(hosts)*btoi(b.opts.Builds == 0), 1))
	var g errgroup.Group
	var mu sync.Mutex // guards missing
	for _, h := range hosts {
		g.Go(func() error {
			r, err := b.one(ctx, h, evals, builds)
			if err != nil && b.fileMissing(h, err) {
				mu.Lock()
				missing = append(missing, h)
				mu.Unlock()
			}
			r.Err = err
			b.set(h, r)
			return nil
		})
	}
	_ = g.Wait() // each host's error is in its result
	slices.Sort(missing)
	return missing
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (b *builder) one(ctx context.Context, host string, evals, builds chan struct{}) (Result, error) {
	if err := acquire(ctx, evals); err != nil {
		return Result{}, err
	}
	r, err := b.evaluate(ctx, host)
	<-evals
	if err != nil {
		return r, err
	}
	if !b.elsewhere(host) {
		if err := acquire(ctx, builds); err != nil {
			return r, err
		}
		err = b.build(ctx, host, r)
		<-builds
		if err != nil {
			return r, err
		}
	}
	return r, b.remember(b.keys[host], cached{Host: host, Toplevel: r.Toplevel, Drv: r.Drv})
}

func acquire(ctx context.Context, slots chan struct{}) error {
	select {
	case slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// evaluate instantiates a host's toplevel.
func (b *builder) evaluate(ctx context.Context, host string) (Result, error) {
	r := Result{Evaluated: true, Whole: b.whole[host]}
	b.emit(host, Event{Kind: EventEvaluate})
	defer b.emit(host, Event{Kind: EventEvaluate, Done: true})
	attr := fmt.Sprintf("path:%s#nixosConfigurations.%s.config.system.build.toplevel", b.Dir, host)
	out, err := b.Tool.run(ctx, call{
		doing: "evaluate " + host,
		args: b.Tool.nix("eval", "--json", "--no-update-lock-file", "--no-warn-dirty", "--option", "eval-cache", "false",
			"--apply", "t: { drv = t.drvPath; out = t.outPath; }", attr),
		events: func(e Event) {
			if e.Kind == EventMessage && e.Level == 1 {
				r.Warnings = append(r.Warnings, e.Text)
			}
			b.emit(host, e)
		},
	})
	if err != nil {
		e := (*Error)(nil)
		if asError(err, &e) && (strings.Contains(e.Text, "requires lock file changes") || strings.Contains(e.Text, "NAR hash mismatch in input")) {
			return r, fmt.Errorf("%w (%w)", ErrLockStale, err)
		}
		return r, err
	}
	var got struct{ Drv, Out string }
	if err := json.Unmarshal(out, &got); err != nil || got.Drv == "" || got.Out == "" {
		return r, fmt.Errorf("evaluate %s: nix answered %q", host, out)
	}
	r.Drv, r.Toplevel = got.Drv, got.Out
	return r, nil
}

// build realises a derivation and roots its output.
func (b *builder) build(ctx context.Context, host string, r Result) error {
	if err := os.MkdirAll(b.rootsDir(), 0o755); err != nil {
		return fmt.Errorf("make folder for roots: %w", err)
	}
	out, err := b.Tool.run(ctx, call{
		doing:  "build " + host,
		args:   b.Tool.nix("build", "--print-out-paths", "--out-link", b.rootLink(host), r.Drv+"^out"),
		events: func(e Event) { b.emit(host, e) },
	})
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(out)); got != r.Toplevel {
		return fmt.Errorf("build %s: got %q, evaluated %q", host, got, r.Toplevel)
	}
	return nil
}

// addRoot keeps a path that the cache led back to.
func (b *builder) addRoot(ctx context.Context, host, path string) error {
	if err := os.MkdirAll(b.rootsDir(), 0o755); err != nil {
		return fmt.Errorf("make folder for roots: %w", err)
	}
	_, err := b.Tool.run(ctx, call{doing: "keep toplevel of " + host,
		args: []string{"nix-store", "--realise", path, "--add-root", b.rootLink(host)}})
	return err
}

// fileMissing says whether an evaluation failed for want of a file in the
// host's tree that the fleet's folder has.
func (b *builder) fileMissing(host string, err error) bool {
	var e *Error
	if b.whole[host] || !asError(err, &e) {
		return false
	}
	re := regexp.MustCompile(`(?:nixmesh-` + regexp.QuoteMeta(host) + `|hosts/` + regexp.QuoteMeta(host) + `)/(?:fleet/)?([A-Za-z0-9._+/-]*[A-Za-z0-9_+/-])`)
	for _, line := range strings.Split(e.Text, "\n") {
		if !strings.Contains(line, "does not exist") && !strings.Contains(line, "No such file") {
			continue
		}
		for _, m := range re.FindAllStringSubmatch(line, -1) {
			if !b.trees[host][m[1]] && (b.files.files[m[1]] || len(b.files.below(m[1])) > 0) {
				return true
			}
		}
	}
	return false
}

// stale returns the hosts whose evaluation the lock stopped.
func (b *builder) stale(hosts []string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, h := range hosts {
		if errors.Is(b.results[h].Err, ErrLockStale) {
			out = append(out, h)
		}
	}
	return out
}

// relock makes the lock anew where local inputs may move.
func (b *builder) relock(ctx context.Context) error {
	if err := os.Remove(filepath.Join(b.Dir, "flake.lock")); err != nil {
		return fmt.Errorf("make flake.lock anew: %w", err)
	}
	keys, err := b.Keys(ctx)
	b.keys = keys
	return err
}

// widen gives hosts the whole allowed folder, for this time and the next.
func (b *builder) widen(ctx context.Context, hosts []string) error {
	for _, h := range hosts {
		b.emit(h, Event{Kind: EventNote, Text: "a path is put together at evaluation: " + h + " is evaluated with the whole folder"})
		if err := writeIfDifferent(b.wholeMark(h), nil, 0o644); err != nil {
			return fmt.Errorf("note that %s needs the whole folder: %w", h, err)
		}
	}
	if err := b.Prepare(ctx, b.flake, b.hosts, b.nixmesh); err != nil {
		return err
	}
	keys, err := b.Keys(ctx)
	b.keys = keys
	return err
}
