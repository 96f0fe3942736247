package deploy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/remote"
)

// readFacts reads host.json of a toplevel.
func readFacts(ctx context.Context, sh shell, toplevel string) (*hostfacts.Facts, error) {
	out, err := sh(ctx, "cat "+remote.Quote(toplevel+hostfacts.Path))
	if err != nil {
		return nil, fmt.Errorf("read host.json of %s: %w", toplevel, err)
	}
	var f hostfacts.Facts
	if err := json.Unmarshal(out, &f); err != nil {
		return nil, fmt.Errorf("read host.json of %s: %w", toplevel, err)
	}
	return &f, nil
}

// readPathInfo reads what Nix's fingerprint of a path is made of, from the
// store of the machine that sh runs on.
func readPathInfo(ctx context.Context, sh shell, path string) (PathInfo, error) {
	out, err := sh(ctx, "nix "+nixFlags+" path-info --json "+remote.Quote(path))
	if err != nil {
		return PathInfo{}, fmt.Errorf("read path info of %s: %w", path, err)
	}
	info, err := parsePathInfo(out, path)
	if err != nil {
		return PathInfo{}, fmt.Errorf("read path info of %s: %w", path, err)
	}
	return info, nil
}

// parsePathInfo reads both shapes that nix has printed: a list of objects with
// a path, and an object by path.
func parsePathInfo(out []byte, path string) (PathInfo, error) {
	type entry struct {
		Path       string   `json:"path"`
		NarHash    string   `json:"narHash"`
		NarSize    int64    `json:"narSize"`
		References []string `json:"references"`
	}
	var found *entry
	var list []*entry
	if json.Unmarshal(out, &list) == nil {
		for _, e := range list {
			if e.Path == path {
				found = e
			}
		}
	} else {
		var byPath map[string]*entry
		if err := json.Unmarshal(out, &byPath); err != nil {
			return PathInfo{}, err
		}
		found = byPath[path]
	}
	if found == nil || found.NarHash == "" {
		return PathInfo{}, fmt.Errorf("the path is not in the store")
	}
	return PathInfo{Path: path, NarHash: found.NarHash, NarSize: found.NarSize, References: found.References}, nil
}
