package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/spec"
)

// node is a block that is shown: its arguments, what follows from them, then the
// blocks in it.
type node struct {
	kind   string
	label  string
	place  string // "" = not written
	listed bool   // there may be several
	off    bool   // not written, and then not there
	args   []shownArg
	facts  []shownArg
	inner  []*node
}

// shownArg is one argument with its resolved value, or one fact.
type shownArg struct {
	name      string
	value     any    // nil = unset
	given     bool   // it stands in the HCL
	isDefault bool   // of the grammar, or what follows from it
	text      string // printed in place of the value
	note      string // printed behind the value
}

// nodeOf shows a block as it was written, with the defaults of the grammar.
func nodeOf(v *spec.View) *node {
	n := &node{kind: v.Kind, label: v.Label, listed: v.Listed, off: v.Off}
	if v.Place.Line > 0 {
		n.place = where(v.Place)
	}
	for _, a := range v.Args {
		arg := shownArg{name: a.Name, value: a.Value, given: a.Written()}
		if !a.Written() {
			arg.text, arg.isDefault = strings.ReplaceAll(a.Absent, "`", ""), a.Value != nil || a.Absent != ""
		}
		if arg.text == "" && a.Type == "pct" {
			arg.text = percentOf(a.Value)
		}
		n.args = append(n.args, arg)
	}
	for _, in := range v.Blocks {
		n.inner = append(n.inner, nodeOf(in))
	}
	return n
}

func (n *node) arg(name string) *shownArg {
	return &n.args[slices.IndexFunc(n.args, func(a shownArg) bool { return a.name == name })]
}

// fill gives an argument that was not written the value that acts.
func (n *node) fill(name string, value any, note string) {
	a := n.arg(name)
	if a.given {
		return
	}
	a.value, a.text, a.note, a.isDefault = value, "", note, note == "" && value != nil
}

// inherit fills arguments from a block around.
func (n *node) inherit(from *node, whose string, names ...string) {
	for _, name := range names {
		a, source := n.arg(name), from.arg(name)
		switch {
		case a.given:
		case source.given:
			n.fill(name, source.value, "from the "+whose)
		default:
			*a = *source
		}
	}
}

// merge lays maps over those of a block around.
func (n *node) merge(from *node, whose string, names ...string) {
	for _, name := range names {
		a := n.arg(name)
		around, _ := from.arg(name).value.(map[string]any)
		if len(around) == 0 {
			continue
		}
		own, _ := a.value.(map[string]any)
		merged := maps.Clone(around)
		maps.Copy(merged, own)
		a.value, a.text, a.note, a.isDefault = merged, "", "from the "+whose, false
		if a.given {
			a.note = "over the " + whose + "'s"
		}
	}
}

// fact adds what follows from the block; "" and 0 are a dash. Lines are printed
// in place of the value.
func (n *node) fact(name string, value any, lines ...string) {
	if value == "" || value == 0 {
		value = nil
	}
	n.facts = append(n.facts, shownArg{name: name, value: value, text: strings.Join(lines, "\n")})
}

// blocks are the inner blocks of a kind that are there.
func (n *node) blocks(kind string) []*node {
	var found []*node
	for _, in := range n.inner {
		if in.kind == kind {
			found = append(found, in)
		}
	}
	return found
}
