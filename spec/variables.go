package spec

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// isValues says whether a file holds values of variables.
func isValues(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, ".json"), ".vars.hcl")
}

// values reads a file of values: NAME = VALUE, and nothing else.
func (s *sink) values(name string, body *hclsyntax.Body) []*attr {
	if path.Dir(name) != "." {
		s.add(problem{code: "NM0202", rng: fileStart(name), detail: "Values of variables stand beside nixmesh.hcl, not in a folder below.", hint: "move the file to " + path.Base(name)})
	}
	for _, b := range body.Blocks {
		s.add(problem{code: "NM0103", rng: b.TypeRange, block: b.Type, detail: "A file of values holds lines of NAME = VALUE, and no blocks.", hint: "move the block to nixmesh.hcl"})
	}
	var found []*attr
	for _, a := range body.Attributes {
		found = append(found, &attr{name: a.Name, key: a.NameRange, expr: a.Expr, bad: path.Dir(name) != "."})
	}
	slices.SortFunc(found, func(a, b *attr) int { return a.key.Start.Byte - b.key.Start.Byte })
	return found
}

// variableTypes are those that a variable may have.
func variableTypes() map[string]cty.Type {
	return map[string]cty.Type{"string": cty.String, "number": cty.Number, "bool": cty.Bool,
		"list(string)": cty.List(cty.String), "map(string)": cty.Map(cty.String)}
}

// variables gives each variable the value that counts: given on the command line
// over those of files over the default. It returns them as trees, see Value.
func (d *decoder) variables(blocks []*block, values []*attr, given map[string]string) map[string]any {
	types := map[string]cty.Type{}
	for _, b := range blocks {
		types[b.label] = d.variableType(b)
		d.text(b, "description")
		d.vars[b.label] = cty.NilVal
		if a := b.attrs["default"]; a != nil {
			d.written[b.path+".default"] = true
			d.vars[b.label] = d.constant(a, b, types[b.label])
		}
	}
	set := d.valuesOfFiles(blocks, values, types)
	for _, name := range slices.Sorted(maps.Keys(given)) {
		b := declared(blocks, name)
		if b == nil {
			d.undeclared(problem{detail: fmt.Sprintf("--var %s: there is no such variable.", name)}, name)
			continue
		}
		v, ok := d.argument(given[name], types[name])
		if !ok {
			d.add(problem{code: "NM0202", detail: fmt.Sprintf("--var %s: %s is of type %s (%s).", name, name, writtenType(types[name]), at(b.header)), hint: "for example --var " + name + "=" + exampleOf(types[name])})
		}
		d.vars[name] = v
	}
	trees := map[string]any{}
	for _, b := range blocks {
		_, isGiven := given[b.label]
		if v := d.vars[b.label]; v != cty.NilVal {
			trees[b.label] = plain(v)
		} else if !isGiven && !set[b.label] && !b.meant("default") {
			d.add(problem{code: "NM0202", rng: b.header, block: b.title, detail: fmt.Sprintf("The variable %q has no value.", b.label),
				hint: fmt.Sprintf("--var %s=…, a line %s = … in a *.vars.hcl, or a default", b.label, b.label)})
		}
	}
	return trees
}

// valuesOfFiles takes the values of files over the defaults, and says which
// variables have one.
func (d *decoder) valuesOfFiles(blocks []*block, values []*attr, types map[string]cty.Type) map[string]bool {
	first, set := map[string]*attr{}, map[string]bool{}
	for _, a := range values {
		b := declared(blocks, a.name)
		switch earlier := first[a.name]; {
		case a.bad: // its file was refused
			set[a.name] = true
		case b == nil:
			d.undeclared(problem{rng: a.key, detail: fmt.Sprintf("There is no variable %q.", a.name)}, a.name)
		case earlier != nil:
			d.add(problem{code: "NM0202", rng: a.key, block: b.title, detail: fmt.Sprintf("The variable %q has a value at %s already.", a.name, at(earlier.key)),
				hint: "keep one of the two; --var goes over files"})
		default:
			first[a.name], set[a.name] = a, true
			d.vars[a.name] = d.constant(a, b, types[a.name])
		}
	}
	return set
}

func declared(blocks []*block, name string) *block {
	i := slices.IndexFunc(blocks, func(b *block) bool { return b.label == name })
	if i < 0 {
		return nil
	}
	return blocks[i]
}

// undeclared reports a value for a variable that there is not.
func (d *decoder) undeclared(p problem, name string) {
	if d.refused["variable"] {
		return
	}
	p.code, p.hint = "NM0202", didYouMean(name, namesOf(d.vars), "the variables are")
	if len(d.vars) == 0 {
		p.hint = fmt.Sprintf("declare it: variable %q {}", name)
	}
	d.add(p)
}

// variableType reads a type, which is written as it is, or in JSON as a text.
func (d *decoder) variableType(b *block) cty.Type {
	a := b.attrs["type"]
	if a == nil {
		return cty.String
	}
	d.written[b.path+".type"] = true
	r := a.expr.Range()
	text := strings.Join(strings.Fields(string(d.files[r.Filename][r.Start.Byte:r.End.Byte])), "")
	if isJSON(r.Filename) {
		text = strings.Trim(text, `"`)
	}
	if t, known := variableTypes()[text]; known {
		return t
	}
	d.add(problem{code: "NM0105", rng: r, block: b.title, detail: fmt.Sprintf("%s is not the type of a variable.", text),
		hint: "it is string, number, bool, list(string) or map(string), without quotes"})
	return cty.DynamicPseudoType
}

// constant is the value of a variable as HCL writes it, NilVal if it is refused.
func (d *decoder) constant(a *attr, b *block, t cty.Type) cty.Value {
	a.title = b.title
	for _, ref := range a.expr.Variables() {
		d.add(problem{code: "NM0202", rng: d.source(ref.SourceRange()), block: b.title, detail: "The value of a variable refers to nothing.", hint: "write the value itself, or use locals"})
		return cty.NilVal
	}
	v, ok := d.value(a)
	if !ok {
		return cty.NilVal
	}
	if fits(v, t) {
		if v, err := convert.Convert(v, t); err == nil {
			return v
		}
	}
	d.add(problem{code: "NM0202", rng: a.expr.Range(), block: b.title, detail: fmt.Sprintf("The variable %q is of type %s (%s), this is %s.", b.label, writtenType(t), at(b.header), misfit(v, t)),
		hint: fmt.Sprintf("for example %s = %s", a.name, exampleOf(t))})
	return cty.NilVal
}

// fits says whether a value is of a variable's type, without turning a text into
// a number or the reverse.
func fits(v cty.Value, t cty.Type) bool {
	switch {
	case t == cty.DynamicPseudoType: // the type was refused
		return true
	case v.IsNull():
		return false
	case t.IsListType() && (v.Type().IsTupleType() || v.Type().IsListType()), t.IsMapType() && (v.Type().IsObjectType() || v.Type().IsMapType()):
		for it := v.ElementIterator(); it.Next(); {
			if _, entry := it.Element(); !fits(entry, cty.String) {
				return false
			}
		}
		return true
	default:
		return v.Type().Equals(t)
	}
}

// misfit says what a value is, in which way it does not fit.
func misfit(v cty.Value, t cty.Type) string {
	if !v.IsNull() && (t.IsListType() && v.Type().IsTupleType() || t.IsMapType() && v.Type().IsObjectType()) {
		for it := v.ElementIterator(); it.Next(); {
			if _, entry := it.Element(); !fits(entry, cty.String) {
				return fmt.Sprintf("%s with an entry that is %s", typeName(v), typeName(entry))
			}
		}
	}
	return typeName(v)
}

// argument is the value of --var NAME=TEXT: the text itself, or what HCL reads.
func (d *decoder) argument(text string, t cty.Type) (cty.Value, bool) {
	if t == cty.String || t == cty.DynamicPseudoType {
		return cty.StringVal(text), true
	}
	quiet := newSink() // the caller tells, with the type
	const name = "--var"
	if !quiet.readable(name, []byte(text)) {
		return cty.NilVal, false
	}
	expr, diags := hclsyntax.ParseExpression([]byte(text), name, hcl.InitialPos)
	if diags.HasErrors() || len(expr.Variables()) > 0 {
		return cty.NilVal, false
	}
	e := &evaluator{sink: quiet, files: map[string][]byte{name: []byte(text)}, calls: d.calls, known: map[*attr]cty.Value{}}
	v, ok := e.value(&attr{name: name, expr: expr})
	if !ok || !fits(v, t) {
		return cty.NilVal, false
	}
	v, err := convert.Convert(v, t)
	return v, err == nil
}

func writtenType(t cty.Type) string {
	for text, known := range variableTypes() {
		if known.Equals(t) {
			return text
		}
	}
	return "value"
}

func exampleOf(t cty.Type) string {
	switch {
	case t == cty.Number:
		return "3"
	case t == cty.Bool:
		return "true"
	case t.IsListType():
		return `["a", "b"]`
	case t.IsMapType():
		return `{ a = "b" }`
	default:
		return `"text"`
	}
}
