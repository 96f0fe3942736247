package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Options are what Load needs beside the folder.
type Options struct {
	Lab         bool              // read lab.hcl, too
	LabOperator *Operator         // replaces all operators in the lab, unless nil
	LabHostKeys map[string]string // host -> "ssh-ed25519 …", replaces the spec's in the lab
	Vars        map[string]string // --var; refused for now (NM0109)
	Version     string            // of this nixmesh, held against fleet.nixmesh; "" = not held
}

// Loaded is what one run of Load found.
type Loaded struct {
	Fleet       *Fleet // nil when Diagnostics has errors
	Dir         string // the fleet's folder, absolute; "" when there is none
	Diagnostics Diagnostics
	Files       map[string][]byte // the HCL that was read, by path below Dir

	written map[string]bool
}

// Load reads and checks the fleet whose nixmesh.hcl is in dir or above.
func Load(dir string, o Options) *Loaded {
	s := &sink{}
	root, err := FindDir(dir)
	if err != nil {
		p := problem{code: "NM0002", detail: fmt.Sprintf("There is no nixmesh.hcl in %s or above.", absoluteDir(dir)), hint: "nixmesh -C DIR names the fleet's folder"}
		if !errors.Is(err, fs.ErrNotExist) {
			p.detail = fmt.Sprintf("The fleet's folder cannot be found: %v.", err)
		}
		s.add(p)
		return &Loaded{Diagnostics: s.found, Files: map[string][]byte{}}
	}
	src := &sources{sink: s, dir: root, files: map[string][]byte{}}
	src.load(o.Lab)
	l := &Loaded{Dir: root, Files: src.files, written: map[string]bool{}}
	l.Fleet = check(s, root, src.files, src.order, o, l.written)
	s.found.sort()
	l.Diagnostics = s.found
	if l.Diagnostics.HasErrors() {
		l.Fleet = nil
	}
	return l
}

// check goes from texts to a fleet. It never fails as a whole: whatever can be
// told of a broken fleet is told.
func check(s *sink, dir string, files map[string][]byte, order []string, o Options, written map[string]bool) *Fleet {
	top := &block{refused: map[string]bool{}}
	var lab *block
	whole := !s.found.HasErrors()
	for _, name := range order {
		text, kept := files[name]
		if !kept {
			continue
		}
		if strings.HasSuffix(name, ".vars.hcl") {
			s.add(problem{code: "NM0109", rng: fileStart(name), detail: "Files with values of variables come with a later release of nixmesh.", hint: "write the values themselves"})
			continue
		}
		body := s.parse(name, text)
		if body == nil {
			whole = false
			continue
		}
		if name == labFile {
			lab = s.labFile(body)
			continue
		}
		file := &block{}
		s.structure(file, grammar(), body)
		maps.Copy(top.refused, file.refused)
		top.blocks = append(top.blocks, file.blocks...)
	}
	if len(o.Vars) > 0 {
		s.add(problem{code: "NM0109", detail: "Variables come with a later release of nixmesh.", hint: "leave --var out"})
	}
	if !whole {
		return nil // what a broken file would have defined would be missed everywhere
	}
	fleet := s.oneFleet(top)
	s.unique(top)
	e := &evaluator{sink: s, dir: dir, files: files, fleet: fleet, hosts: map[string]*block{}, known: map[*attr]cty.Value{}, calls: functions(dir), muted: top.refused["variable"] || top.refused["locals"]}
	for _, h := range top.all("host") {
		e.hosts[h.label] = h
	}
	d := &decoder{evaluator: e, written: written, version: o.Version, hostsUnsure: top.refused["host"]}
	overrides := d.override(top, fleet, lab)
	f := d.fleetOf(top, fleet)
	f.LabOverrides = overrides
	if o.Lab {
		d.intoLab(f, o)
	}
	return f
}

// oneFleet finds the fleet block (NM0003).
func (s *sink) oneFleet(top *block) *block {
	fleets := top.all("fleet")
	if len(fleets) == 0 {
		s.add(problem{code: "NM0003", rng: fileStart(rootFile), detail: "No file has a fleet block.",
			hint: `add fleet "NAME" { nixpkgs = "github:NixOS/nixpkgs/nixos-26.05" }`})
		return nil
	}
	for _, f := range fleets[1:] {
		s.add(problem{code: "NM0003", rng: f.header, block: f.title, detail: fmt.Sprintf("There is a fleet block at %s already.", at(fleets[0].header)),
			hint: "a fleet is told in one block; hosts and services may stand in any file"})
	}
	return fleets[0]
}

// unique keeps the first of each name (NM0004).
func (s *sink) unique(top *block) {
	first := map[string]hcl.Range{}
	var kept []*block
	for _, b := range top.blocks {
		key := b.kind + " " + b.label
		if earlier, twice := first[key]; twice && b.kind != "fleet" {
			s.add(problem{code: "NM0004", rng: b.name, block: b.title, detail: fmt.Sprintf("There is a %s %q at %s already.", b.kind, b.label, at(earlier)),
				hint: "give one of the two another name"})
			continue
		}
		first[key] = b.header
		kept = append(kept, b)
	}
	top.blocks = kept
}
