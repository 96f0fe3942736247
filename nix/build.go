package nix

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
			r.Err = b.inFleet(h, err)
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
