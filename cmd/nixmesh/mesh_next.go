package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/nixmesh/nixmesh/compile"
	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// meshNext is what the spec wants of the mesh, and what tells whether hosts run
// what it says of them. Nothing is evaluated for it; the lock has all numbers.
func (f *fleet) meshNext() (*deploy.MeshNext, error) {
	ca, err := f.ca()
	if err != nil {
		return nil, err
	}
	// The flake names the folder of nixmesh; no host's text does.
	out, err := compile.Compile(f.spec, f.lock, compile.Options{NixmeshVersion: version, NixmeshDir: f.state("nixmesh"),
		Lab: f.lab != nil, Nixpkgs: f.nixpkgs(), CA: ca, LabAnswers: labAnswers(f.spec)})
	if err != nil {
		return nil, err
	}
	next := &deploy.MeshNext{Config: out.Mesh, Modules: map[string]string{}, Place: f.meshPlace}
	for _, h := range out.Hosts {
		sum := sha256.Sum256(h.KeyModule)
		next.Modules[h.Name] = hex.EncodeToString(sum[:])
	}
	return next, nil
}

// meshPlace is where a difference to the live mesh configuration stands in the
// HCL, "" where it does not, or in many places.
func (f *fleet) meshPlace(c mesh.Change) string {
	place := f.placeOf(c)
	if c.Op == "-" && c.Kind != "split" || place == (spec.Place{}) {
		return ""
	}
	return fmt.Sprintf("%s:%d", place.File, place.Line)
}

func (f *fleet) placeOf(c mesh.Change) spec.Place {
	name, rest, _ := strings.Cut(c.Subject, " ")
	switch c.Kind {
	case "edge":
		upstream, _, _ := strings.Cut(strings.TrimPrefix(rest, "-> "), " ")
		return f.upstreamPlace(name, upstream)
	case "allow":
		return f.allowPlace(name, strings.TrimPrefix(rest, "-> "))
	case "split":
		if s := f.service(name); s != nil && s.SplitPlace != (spec.Place{}) {
			return s.SplitPlace
		}
	case "route":
		if s := f.service(name); s != nil {
			for _, r := range s.Routes {
				if strings.HasPrefix(strings.TrimPrefix(rest, "~"), r.Path.Text) {
					return r.Place
				}
			}
		}
	}
	return f.blockPlace(name)
}

// service is a service of the spec, nil where there is none of that name.
func (f *fleet) service(name string) *spec.Service {
	for _, s := range f.spec.Services {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// blockPlace is the block that has a name: names are of one thing only.
func (f *fleet) blockPlace(name string) spec.Place {
	if s := f.service(name); s != nil {
		return s.Place
	}
	for _, g := range f.spec.Gateways {
		if g.Name == name {
			return g.Place
		}
	}
	for _, x := range f.spec.Externals {
		if x.Name == name {
			return x.Place
		}
	}
	for _, h := range f.spec.Hosts {
		if h.Name == name {
			return h.Place
		}
	}
	return spec.Place{}
}

// upstreamPlace is where a caller names an upstream; a gateway does so in its
// routes.
func (f *fleet) upstreamPlace(caller, edge string) spec.Place {
	name, listen := mesh.SplitEdgeName(edge)
	s := f.service(caller)
	if s == nil {
		return f.blockPlace(caller)
	}
	for _, u := range s.Upstreams {
		if u.Name == name && (listen == "" || u.Listen == "" || u.Listen == listen) {
			return u.Place
		}
	}
	return s.Place
}

// allowPlace is the first allow of a caller at a callee.
func (f *fleet) allowPlace(caller, callee string) spec.Place {
	s := f.service(callee)
	if s == nil {
		return spec.Place{}
	}
	for _, a := range s.Allows {
		if a.Caller == caller {
			return a.Place
		}
	}
	return s.Place
}
