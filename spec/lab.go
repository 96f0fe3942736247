package spec

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// labFile reads the one lab block of lab.hcl.
func (s *sink) labFile(body *hclsyntax.Body) *block {
	top := &block{}
	s.structure(top, &blockSchema{blocks: map[string]*blockSchema{"lab": labSchema()}}, body)
	if labs := top.all("lab"); len(labs) > 0 {
		return labs[0]
	}
	return nil
}

// override lays the lab block over the spec: each argument replaces the one of
// the same name. It returns one line for each.
func (d *decoder) override(top, fleet, lab *block) []string {
	if lab == nil {
		return nil
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(lab.attrs)) {
		if fleet != nil {
			replace(fleet, lab.attrs[name])
			lines = append(lines, "fleet: "+name)
		}
	}
	for _, over := range lab.blocks {
		i := slices.IndexFunc(top.blocks, func(b *block) bool { return b.kind == over.kind && b.label == over.label })
		if i < 0 {
			var names []string
			for _, b := range top.all(over.kind) {
				names = append(names, b.label)
			}
			d.add(problem{code: "NM0007", rng: over.name, block: over.title, detail: fmt.Sprintf("The fleet has no %s %q to override.", over.kind, over.label),
				hint: didYouMean(over.label, names, "there are")})
			continue
		}
		lines = append(lines, d.overrideBlock(top.blocks[i], over)...)
	}
	return lines
}

// overrideBlock replaces the arguments of one block, and of the single blocks in it.
func (d *decoder) overrideBlock(b, over *block) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(over.attrs)) {
		a := over.attrs[name]
		if slices.Contains([]string{"on", "address", "tags", "unit", "package"}, name) && (over.kind == "host" || over.kind == "service") {
			d.add(problem{code: "NM0007", rng: a.key, block: over.title, detail: fmt.Sprintf("The lab cannot override %q.", name),
				hint: "every argument but on, address, tags, unit and package may be overridden"})
			continue
		}
		replace(b, a)
		lines = append(lines, b.title+": "+name)
	}
	for _, inner := range over.blocks {
		if inner.kind == "listen" || inner.kind == "check" {
			d.add(problem{code: "NM0007", rng: inner.header, block: over.title, detail: fmt.Sprintf("The lab cannot override a %s block.", inner.kind),
				hint: "arguments may be overridden, and those in ssh, limits and rollout"})
			continue
		}
		i := slices.IndexFunc(b.blocks, func(c *block) bool { return c.kind == inner.kind })
		if i < 0 {
			inner.path, inner.title = b.path+"."+inner.kind, b.title
			b.blocks = append(b.blocks, &block{kind: inner.kind, title: b.title, path: inner.path, header: inner.header, name: inner.name,
				attrs: map[string]*attr{}, refused: map[string]bool{}})
			i = len(b.blocks) - 1
		}
		lines = append(lines, d.overrideBlock(b.blocks[i], inner)...)
	}
	return lines
}

func replace(b *block, a *attr) {
	over := *a
	over.path = b.path
	b.attrs[a.name] = &over
}

// intoLab gives the fleet the lab's operator and host keys.
func (d *decoder) intoLab(f *Fleet, o Options) {
	if o.LabOperator != nil {
		f.Operators = []*Operator{o.LabOperator}
		f.LabOverrides = append(f.LabOverrides, fmt.Sprintf("operators: %s alone", o.LabOperator.Name))
	}
	for _, h := range f.Hosts {
		if key, ok := o.LabHostKeys[h.Name]; ok {
			h.HostKey = key
		}
	}
	if len(o.LabHostKeys) > 0 {
		f.LabOverrides = append(f.LabOverrides, "host keys: the lab's")
	}
}

// absolute resolves a relative "path:" flake reference against the fleet's
// folder: the generated flake stands elsewhere.
func absolute(dir, ref string) string {
	rel, ok := strings.CutPrefix(ref, "path:")
	if !ok || rel == "" || filepath.IsAbs(rel) {
		return ref
	}
	rel, query, hasQuery := strings.Cut(rel, "?")
	ref = "path:" + filepath.Join(dir, rel)
	if hasQuery {
		ref += "?" + query
	}
	return ref
}
