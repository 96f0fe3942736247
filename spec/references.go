package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// source is the place in its file of a part of an expression.
func (e *evaluator) source(r hcl.Range) hcl.Range { return e.inSource(e.files[r.Filename], r) }

// reference resolves var.NAME, local.NAME, host.NAME.FIELD and fleet.FIELD, into
// the values by name that an expression is given. Anything else is reported.
func (e *evaluator) reference(t hcl.Traversal, title string, into map[string]map[string]cty.Value) bool {
	root, rng, names := t.RootName(), e.source(t.SourceRange()), steps(t)
	var v cty.Value
	var ok bool
	switch {
	case root == "var" && len(names) >= 1:
		v, ok = e.variable(names[0], rng, title)
	case root == "local" && len(names) >= 1:
		v, ok = e.local(names[0], rng, title)
	case root == "fleet" && len(names) >= 1:
		v, ok = e.fleetField(names[0], rng, title)
	case root == "host" && len(names) >= 2:
		if v, ok = e.hostField(names[0], names[1], rng, title); ok {
			fields := map[string]cty.Value{}
			if earlier, again := into[root][names[0]]; again {
				fields = earlier.AsValueMap()
			}
			fields[names[1]] = v
			v = cty.ObjectVal(fields)
		}
	default:
		e.unknownReference(t, title)
	}
	if !ok {
		return false
	}
	if into[root] == nil {
		into[root] = map[string]cty.Value{}
	}
	into[root][names[0]] = v
	return true
}

// steps are the names that follow the root of a reference: at most the two that
// may be needed.
func steps(t hcl.Traversal) []string {
	var names []string
	for _, step := range t[1:min(len(t), 3)] {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			names = append(names, s.Name)
			continue
		case hcl.TraverseIndex:
			if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
				names = append(names, s.Key.AsString())
				continue
			}
		}
		break
	}
	return names
}

// unknownReference tells the usual slips apart: a shell variable in braces, a
// text without quotes, a half reference.
func (e *evaluator) unknownReference(t hcl.Traversal, title string) {
	root, rng := t.RootName(), e.source(t.SourceRange())
	p := problem{code: "NM0201", rng: rng, block: title}
	switch {
	case root == "var" || root == "local":
		p.detail, p.hint = "Variables and locals are used one by one.", fmt.Sprintf("write %s.NAME", root)
	case root == "host":
		p.detail, p.hint = "A host's values are used one by one.", "write host.NAME.address, host.NAME.tags or host.NAME.zone"
	case root == "fleet":
		p.detail, p.hint = "The fleet's values are used one by one.", "write fleet.name or fleet.domain"
	case len(t) == 1 && root == strings.ToUpper(root) && e.inTemplate(rng):
		p.code = "NM0108"
		p.detail = fmt.Sprintf("${%s} is read as a reference of the HCL before there is any command.", root)
		p.hint = fmt.Sprintf("write $%s, or $${%s} for the braces", root, root)
	case len(t) == 1:
		p.detail = fmt.Sprintf("%q names nothing here.", root)
		p.hint = fmt.Sprintf("a text stands in quotes: %q", root)
	default:
		p.detail = fmt.Sprintf("There is no %q to refer to.", root)
		p.hint = didYouMean(root, []string{"var", "local", "host", "fleet"}, "there are")
	}
	e.add(p)
}

// inTemplate says whether a reference stands in ${…} of a text.
func (e *evaluator) inTemplate(r hcl.Range) bool {
	src := e.files[r.Filename]
	return r.Start.Byte <= len(src) && strings.HasSuffix(strings.TrimRight(string(src[max(0, r.Start.Byte-64):r.Start.Byte]), " \t"), "${")
}

// variable is the value of a variable.
func (e *evaluator) variable(name string, rng hcl.Range, title string) (cty.Value, bool) {
	v, known := e.vars[name]
	if !known && !e.refused["variable"] {
		hint := didYouMean(name, namesOf(e.vars), "the variables are")
		if len(e.vars) == 0 {
			hint = fmt.Sprintf("declare it: variable %q {}", name)
		}
		e.add(problem{code: "NM0201", rng: rng, block: title, detail: fmt.Sprintf("There is no variable %q.", name), hint: hint})
	}
	return v, v != cty.NilVal
}

// local is the value of a local.
func (e *evaluator) local(name string, rng hcl.Range, title string) (cty.Value, bool) {
	if a, known := e.locals[name]; known {
		return e.refer(a, cty.NilVal, rng, title)
	}
	if !e.refused["locals"] {
		hint := didYouMean(name, namesOf(e.locals), "the locals are")
		if len(e.locals) == 0 {
			hint = fmt.Sprintf("define it: locals { %s = … }", name)
		}
		e.add(problem{code: "NM0201", rng: rng, block: title, detail: fmt.Sprintf("There is no local %q.", name), hint: hint})
	}
	return cty.NilVal, false
}

// namesOf are the names that a hint may suggest: none where they are too many to
// be compared.
func namesOf[V any](known map[string]V) []string {
	if len(known) > maxCompared {
		return nil
	}
	return slices.Collect(maps.Keys(known))
}

func (e *evaluator) fleetField(field string, rng hcl.Range, title string) (cty.Value, bool) {
	switch {
	case field != "name" && field != "domain":
		e.add(problem{code: "NM0201", rng: rng, block: title, detail: fmt.Sprintf("A fleet has no %q to refer to.", field),
			hint: didYouMean(field, []string{"name", "domain"}, "there are")})
		return cty.NilVal, false
	case e.fleet == nil:
		return cty.NilVal, false // NM0003 was said
	case field == "name":
		return cty.StringVal(e.fleet.label), true
	default:
		return e.refer(e.fleet.attrs["domain"], cty.StringVal("mesh"), rng, title)
	}
}

func (e *evaluator) hostField(name, field string, rng hcl.Range, title string) (cty.Value, bool) {
	defaults := map[string]cty.Value{"address": cty.StringVal(""), "tags": cty.EmptyTupleVal, "zone": cty.StringVal("")}
	h, known := e.hosts[name]
	fallback, isField := defaults[field]
	switch {
	case !known && e.refused["host"]:
		return cty.NilVal, false
	case !known:
		names := namesOf(e.hosts)
		e.add(problem{code: "NM0201", rng: rng, block: title, detail: fmt.Sprintf("There is no host %q.", name), hint: didYouMean(name, names, "hosts")})
		return cty.NilVal, false
	case !isField:
		e.add(problem{code: "NM0201", rng: rng, block: title, detail: fmt.Sprintf("A host has no %q to refer to.", field),
			hint: didYouMean(field, []string{"address", "tags", "zone"}, "there are")})
		return cty.NilVal, false
	default:
		return e.refer(h.attrs[field], fallback, rng, title)
	}
}

// refer evaluates the argument that a reference names, and reports a circle.
func (e *evaluator) refer(a *attr, fallback cty.Value, rng hcl.Range, title string) (cty.Value, bool) {
	if a == nil {
		return fallback, true
	}
	if i := slices.Index(e.doing, a); i >= 0 {
		var circle []string
		for _, step := range e.doing[i:] {
			circle = append(circle, fmt.Sprintf("%s.%s (%s)", step.path, step.name, at(step.key)))
		}
		e.add(problem{code: "NM0203", rng: rng, block: title,
			detail: "The references go in a circle: " + strings.Join(append(circle, circle[0]), " -> ") + ".",
			hint:   "write one of the values itself"})
		return cty.NilVal, false
	}
	if len(e.doing) > maxNesting {
		e.add(problem{code: "NM0001", rng: rng, block: title, detail: fmt.Sprintf("References go through more than %d others.", maxNesting),
			hint: "write the value itself"})
		return cty.NilVal, false
	}
	return e.value(a)
}
