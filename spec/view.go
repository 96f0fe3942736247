package spec

import (
	"cmp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// tree is what a fleet was made of: the blocks of all files with the lab's
// overrides, and the values of their arguments.
type tree struct {
	top    *block
	values map[*attr]cty.Value
}

// View is a block with every argument and block that the grammar gives it,
// whether or not it was written. It holds what the HCL says; what that comes to
// is told by Fleet.
type View struct {
	Kind   string // "service"
	Label  string // "" without
	Place  Place  // Line 0 = not written
	Listed bool   // there may be several: it has a label, or may be repeated
	Off    bool   // not written, and then not there: a retry, a canary
	Args   []ViewArg
	Blocks []*View
}

// ViewArg is an argument of a View.
type ViewArg struct {
	Name   string
	Type   string // how a value is written, in the words of the reference: "dur"
	Value  any    // see Value of fleet.go, nil = unset: as written, else the default
	Place  Place  // Line 0 = not written
	Absent string // in words, what holds where it is not written; "" = Value
}

// Written says whether the argument stands in the HCL.
func (a ViewArg) Written() bool { return a.Place.Line > 0 }

// Views are the outermost blocks of a valid fleet: kinds in the order of the
// grammar, then by name.
func (l *Loaded) Views() []*View {
	if l.tree.top == nil {
		return nil
	}
	v := &viewer{tree: l.tree, files: l.Files}
	var views []*View
	for _, schema := range grammar().inner {
		blocks := l.tree.top.all(schema.kind)
		slices.SortStableFunc(blocks, func(a, b *block) int { return cmp.Compare(a.label, b.label) })
		for _, b := range blocks {
			views = append(views, v.block(schema, b))
		}
	}
	return views
}

// viewer makes views of blocks.
type viewer struct {
	tree
	files map[string][]byte
}

// block views a block; nil = one that was not written.
func (v *viewer) block(schema *blockSchema, b *block) *View {
	view := &View{Kind: schema.kind, Listed: schema.label != "" || schema.many}
	if b != nil {
		view.Label, view.Place = b.label, b.place()
	}
	view.Off = b == nil && !schema.implied()
	for _, a := range schema.list {
		view.Args = append(view.Args, v.arg(a, b))
	}
	if schema.open && b != nil {
		view.Args = v.open(b)
	}
	for _, in := range schema.inner {
		var blocks []*block
		if b != nil {
			blocks = b.all(in.kind)
		}
		for _, inner := range blocks {
			view.Blocks = append(view.Blocks, v.block(in, inner))
		}
		if len(blocks) == 0 && in.label == "" && !in.many {
			view.Blocks = append(view.Blocks, v.block(in, nil))
		}
	}
	return view
}

// implied says whether a block acts with its defaults where it is not written.
// One that needs an argument cannot; and there is no retry unless it is asked for.
func (s *blockSchema) implied() bool {
	return s.kind != "retry" && !slices.ContainsFunc(s.list, func(a argSchema) bool { return a.required })
}

func (v *viewer) arg(schema argSchema, b *block) ViewArg {
	view := ViewArg{Name: schema.name, Type: string(schema.typ), Absent: schema.absent}
	if b != nil && b.attrs[schema.name] != nil {
		a := b.attrs[schema.name]
		view.Value, view.Place = v.value(a), a.place()
		return view
	}
	if schema.fallback != "" {
		view.Value = literal(schema.fallback)
	}
	return view
}

// open are the arguments of a block that takes any, in the order of the file.
func (v *viewer) open(b *block) []ViewArg {
	var args []ViewArg
	for _, a := range b.attrs {
		args = append(args, ViewArg{Name: a.name, Value: v.value(a), Place: a.place()})
	}
	slices.SortFunc(args, func(a, b ViewArg) int {
		return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Name, b.Name))
	})
	return args
}

// value is an argument's value; one that is no value, such as a type, is the
// text that stands there.
func (v *viewer) value(a *attr) any {
	if value, known := v.values[a]; known && value != cty.NilVal {
		return plain(value)
	}
	rng := a.expr.Range()
	return strings.TrimSpace(string(rng.SliceBytes(v.files[rng.Filename])))
}

// literal is a default of the grammar as a value. A word without quotes, such as
// a type, is a text.
func literal(text string) any {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "", hcl.InitialPos)
	if diags.HasErrors() {
		return text
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		return text
	}
	return plain(value)
}
