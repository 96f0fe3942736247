package nix

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// evaluate instantiates a host's toplevel.
func (b *builder) evaluate(ctx context.Context, host string) (Result, error) {
	r := Result{Evaluated: true, Whole: b.whole[host]}
	b.emit(host, Event{Kind: EventEvaluate})
	defer b.emit(host, Event{Kind: EventEvaluate, Done: true})
	attr := fmt.Sprintf("%s#nixosConfigurations.%s.config.system.build.toplevel", flakeURL(b.Dir), host)
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
