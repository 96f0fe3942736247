package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/remote"
)

// readFacts reads host.json of a toplevel.
func readFacts(ctx context.Context, sh shell, toplevel string) (*hostfacts.Facts, error) {
	out, err := sh(ctx, "cat "+remote.Quote(toplevel+hostfacts.Path))
	if err != nil {
		return nil, fmt.Errorf("read host.json of %s: %w", toplevel, err)
	}
	f, err := hostfacts.Parse(out)
	if err != nil {
		return nil, fmt.Errorf("read host.json of %s: %w", toplevel, err)
	}
	return f, nil
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

// MeshFacts is host.json of what hosts run once a plan was carried out, by host: of
// the plan's hosts, and of a plan for the mesh alone of all. It is read where the
// toplevel was built, else on the host that runs it. For reading, as all of a plan:
// a host whose file cannot be read is left out.
func (d *Deployer) MeshFacts(ctx context.Context, p *Plan) map[string]*hostfacts.Facts {
	tops := map[string]string{}
	for _, h := range p.Hosts {
		tops[h.Host] = h.New
	}
	if p.Kind == ReleaseMeshOnly {
		maps.Copy(tops, p.carried)
	}
	var mu sync.Mutex // guards facts
	facts := map[string]*hostfacts.Facts{}
	each(slices.Sorted(maps.Keys(tops)), inspectWidth, func(host string) {
		f := d.factsOf(ctx, p, host, tops[host])
		if f == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		facts[host] = f
	})
	return facts
}

// factsOf is host.json of a toplevel that a host has, or is to have.
func (d *Deployer) factsOf(ctx context.Context, p *Plan, host, top string) *hostfacts.Facts {
	if i := slices.IndexFunc(p.Hosts, func(h *HostPlan) bool { return h.Host == host && h.facts != nil }); i >= 0 {
		return p.Hosts[i].facts
	}
	if top == "" {
		return nil
	}
	if f, err := readFacts(ctx, d.Store.Shell, top); err == nil {
		return f
	}
	l, err := d.link(host)
	if err != nil {
		return nil
	}
	f, err := readFacts(ctx, l.shell, top)
	if err != nil || f.Host != host {
		return nil
	}
	return f
}
