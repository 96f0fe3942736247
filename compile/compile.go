package compile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// Options are what a fleet's text depends on besides its spec and lock.
type Options struct {
	NixmeshVersion string // release tag of this nixmesh, "0.3.1"

	// NixmeshDir is an absolute folder with modules/*.nix and bin/nixmesh (in
	// the lab also lab/), NixmeshNarHash its NAR hash as SRI. The flake takes
	// it by builtins.fetchTree, which pure evaluation accepts.
	NixmeshDir     string
	NixmeshNarHash string

	Lab     bool   // add the lab's module and overlay
	Nixpkgs string // flake reference instead of the fleet's, "" = the fleet's

	CA *CA // nil: the fleet has none, and its hosts no agent

	LabAnswers []string // externals that the lab answers for, by its own CA
}

// Output is the text of a whole fleet.
type Output struct {
	Flake []byte  // flake.nix
	Hosts []*Host // by name
	Mesh  *mesh.Config
}

// Host is the text of one host.
type Host struct {
	Name    string
	System  string // "x86_64-linux", "" = the extended configuration's own
	BuildOn string // "local" or "target"

	Module    []byte   // hosts/<name>/host.nix
	KeyModule []byte   // the same without places, for the content key
	Roots     []string // files of the fleet's folder that the module names, sorted
}

// Compile writes the text of every host of the fleet, and what their agents
// have to agree on. Its errors are about the lock: a number that is not there
// yet.
func Compile(f *spec.Fleet, l *spec.Lock, o Options) (*Output, error) {
	config, err := Mesh(f, l, o.CA)
	if err != nil {
		return nil, err
	}
	out := &Output{Flake: flakeText(f, o), Mesh: config}
	index := indexOf(f)
	for _, h := range f.Hosts {
		c := &hostCompiler{fleet: f, lock: l, options: o, index: index, host: h, placements: index.placements[h.Name]}
		module, err := c.module()
		if err != nil {
			return nil, fmt.Errorf("compile host %q: %w", h.Name, err)
		}
		out.Hosts = append(out.Hosts, &Host{
			Name:      h.Name,
			System:    systemOf(h),
			BuildOn:   h.BuildOn,
			Module:    printModule(module, withPlaces),
			KeyModule: append(c.keyHeader(), printModule(module, withoutPlaces)...),
			Roots:     c.roots(),
		})
	}
	return out, nil
}

// systemOf is the host's system; that of an extended configuration is its own.
func systemOf(h *spec.Host) string {
	if h.Config != "" {
		return ""
	}
	return h.System
}

// roots are the files of the fleet's folder that this host's module names.
func (c *hostCompiler) roots() []string {
	var roots []string
	add := func(imports []spec.Import) {
		for _, i := range imports {
			if i.Path != "" {
				roots = append(roots, path.Clean(i.Path))
			}
		}
	}
	add(c.host.Imports)
	for _, file := range c.files {
		roots = append(roots, path.Clean(file))
	}
	if c.options.CA != nil {
		roots = append(roots, path.Clean(c.options.CA.Gossip))
	}
	for _, p := range c.placements {
		add(p.service.Imports)
		for _, v := range p.versions {
			for _, secret := range v.Secrets {
				if secret.File != "" {
					roots = append(roots, path.Clean(secret.File))
				}
			}
		}
	}
	if c.host.Config == "" {
		for _, o := range c.fleet.Overlays {
			roots = append(roots, path.Clean(o))
		}
	}
	slices.Sort(roots)
	return slices.Compact(roots)
}

// keyHeader names what this host takes from flake.nix, which is not itself
// part of the content key since it also holds the other hosts.
func (c *hostCompiler) keyHeader() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# nixpkgs %s\n", nixpkgsOf(c.fleet, c.options))
	if c.host.Config != "" {
		fmt.Fprintf(&b, "# extends %s\n", c.host.Config)
	}
	if c.options.Lab {
		b.WriteString("# lab\n")
	}
	fmt.Fprintf(&b, "# addresses %s\n", c.index.addresses)
	return []byte(b.String())
}
