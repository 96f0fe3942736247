package spec

import (
	"fmt"
	"maps"
)

// Options are what Load needs beside the folder.
type Options struct {
	Lab         bool              // read lab.hcl, too
	LabOperator *Operator         // replaces all operators in the lab, unless nil
	LabHostKeys map[string]string // host -> "ssh-ed25519 …", replaces the spec's in the lab
	Vars        map[string]string // --var: variable -> its value as text
	Version     string            // of this nixmesh, held against fleet.nixmesh; "" = not held
	MendSecrets bool              // leave out NM0603 and NM0604: for the commands that mend them
}

// Loaded is what one run of Load found.
type Loaded struct {
	Fleet       *Fleet // nil when Diagnostics has errors
	Dir         string // the fleet's folder, absolute; "" when there is none
	Diagnostics Diagnostics
	Files       map[string][]byte // the HCL that was read, by path below Dir

	written map[string]bool
	tree    tree
}

// Load reads and checks the fleet whose nixmesh.hcl is in dir or above.
func Load(dir string, o Options) *Loaded {
	s := newSink()
	root, err := FindDir(dir)
	if err != nil {
		s.add(noFleet(dir, err, "nixmesh -C DIR names the fleet's folder"))
		return &Loaded{Diagnostics: s.found, Files: map[string][]byte{}}
	}
	src := &sources{sink: s, dir: root, files: map[string][]byte{}}
	src.load(o.Lab)
	l := &Loaded{Dir: root, Files: src.files, written: map[string]bool{}}
	l.Fleet, l.tree = check(s, root, src.files, src.order, o, l.written)
	s.found.sort()
	l.Diagnostics = s.found
	if l.Diagnostics.HasErrors() {
		l.Fleet = nil
	}
	return l
}

// texts are the files of a fleet by what they are for.
type texts struct {
	top    *block  // the blocks of all files
	labs   *block  // those of lab.hcl
	values []*attr // of *.vars.hcl
	whole  bool    // every file could be read
}

// read takes the files apart.
func (s *sink) read(files map[string][]byte, order []string) texts {
	t := texts{top: &block{refused: map[string]bool{}}, labs: &block{}, whole: !s.found.HasErrors()}
	language := grammar()
	for _, name := range order {
		text, kept := files[name]
		if !kept {
			continue
		}
		schema := language
		switch {
		case isValues(name):
			schema = of("", "", "")
		case isLab(name):
			schema = of("", "", "").holds(labSchema())
		}
		body := s.parse(name, text, schema)
		switch {
		case body == nil:
			t.whole = false
		case isValues(name):
			t.values = append(t.values, s.values(name, body)...)
		default:
			file := &block{}
			s.structure(file, schema, body)
			into := t.top
			if isLab(name) {
				into = t.labs
			}
			maps.Copy(t.top.refused, file.refused)
			into.blocks = append(into.blocks, file.blocks...)
		}
	}
	return t
}

// check goes from texts to a fleet, and the blocks that it was made of. It never
// fails as a whole: whatever can be told of a broken fleet is told.
func check(s *sink, dir string, files map[string][]byte, order []string, o Options, written map[string]bool) (*Fleet, tree) {
	t := s.read(files, order)
	if !t.whole {
		return nil, tree{} // what a broken file would have defined would be missed everywhere
	}
	top, lab := t.top, s.oneLab(t.labs)
	fleet := s.oneFleet(top)
	s.unique(top)
	e := newEvaluator(s, dir, files, top, fleet)
	d := &decoder{evaluator: e, written: written, version: o.Version, hostsUnsure: top.refused["host"], noAgeFiles: o.Lab || o.MendSecrets}
	d.collectLocals(top)
	variables := d.variables(top.all("variable"), t.values, o.Vars)
	overrides := d.override(top, fleet, lab)
	f := d.fleetOf(top, fleet)
	f.Variables, f.LabOverrides = variables, overrides
	d.allLocals()
	if o.Lab {
		d.intoLab(f, lab, o)
	}
	d.checkUnused(f, top, lab)
	return f, tree{top: top, values: e.known}
}

// oneFleet finds the fleet block (NM0003).
func (s *sink) oneFleet(top *block) *block {
	fleets := top.all("fleet")
	if len(fleets) == 0 && top.refused["fleet"] {
		return nil
	}
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

// unique keeps the first of each name (NM0004). Services, gateways and externals
// share one space of names; locals have none, and a fleet stands once.
func (s *sink) unique(top *block) {
	first := map[string]*block{}
	var kept []*block
	for _, b := range top.blocks {
		key := b.kind + " " + b.label
		switch b.kind {
		case "service", "gateway", "external":
			key = b.label
		}
		if earlier, twice := first[key]; twice && b.kind != "fleet" && b.kind != "locals" {
			s.add(problem{code: "NM0004", rng: b.name, block: b.title, detail: fmt.Sprintf("There is a %s %q at %s already.", earlier.kind, b.label, at(earlier.header)),
				hint: "give one of the two another name"})
			top.refused[b.kind] = true // another name may have been meant
			continue
		}
		first[key] = b
		kept = append(kept, b)
	}
	top.blocks = kept
}
