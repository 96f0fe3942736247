package nix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

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
			if b.trees[host][m[1]] == "" && (b.files.files[m[1]] != "" || len(b.files.below(m[1])) > 0) {
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

// inFleet names files of the fleet's folder as the user does, not by the store
// path of the host's tree.
func (b *builder) inFleet(host string, err error) error {
	var e *Error
	if asError(err, &e) {
		re := regexp.MustCompile(`/nix/store/[0-9a-z]{32}-(?:nixmesh-` + regexp.QuoteMeta(host) + `|source/hosts/` + regexp.QuoteMeta(host) + `)/(?:fleet/)?`)
		e.Text = re.ReplaceAllString(e.Text, "")
	}
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
