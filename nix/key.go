package nix

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Keys is the content key of each prepared host: hex SHA-256 over its tree,
// the lock, its module without places, nixmesh itself, the nix program and the
// system. Two equal keys are the same toplevel, so a known key is not
// evaluated. Inputs are locked first where they are not.
func (w *Workspace) Keys(ctx context.Context) (map[string]string, error) {
	if err := w.lockInputs(ctx); err != nil {
		return nil, err
	}
	lock, err := os.ReadFile(filepath.Join(w.Dir, "flake.lock"))
	if err != nil {
		return nil, fmt.Errorf("read flake.lock: %w", err)
	}
	version, err := w.Tool.Version(ctx)
	if err != nil {
		return nil, err
	}
	keys := map[string]string{}
	for _, h := range w.hosts {
		sum, err := w.trees[h.Name].sum()
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
		k := sha256.New()
		for _, part := range []string{"nixmesh.key/1", sum, string(lock), string(h.KeyModule), w.nixmesh.NarHash, version, h.System} {
			fmt.Fprintf(k, "%d:%s\n", len(part), part)
		}
		keys[h.Name] = hex.EncodeToString(k.Sum(nil))
	}
	return keys, nil
}

// sum is a hash over names, executable bits and contents of a tree.
func (t tree) sum() (string, error) {
	h := sha256.New()
	for _, f := range slices.Sorted(maps.Keys(t)) {
		text, mode, err := content{from: t[f]}.read()
		if err != nil {
			return "", fmt.Errorf("hash %s: %w", f, err)
		}
		fmt.Fprintf(h, "%d:%s %o %x\n", len(f), f, mode, sha256.Sum256(text))
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
