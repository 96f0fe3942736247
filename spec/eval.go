package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// evaluator gives values to expressions. References are resolved one by one,
// on demand, so that each mistake has the range of its own reference and a host's
// attributes may use another host's, unless they go in a circle.
type evaluator struct {
	*sink
	dir   string
	files map[string][]byte
	fleet *block
	hosts map[string]*block
	calls map[string]function.Function
	known map[*attr]cty.Value // values that were asked for; NilVal = was reported
	doing []*attr             // the arguments now being evaluated
	muted bool                // variables and locals were refused already (NM0109)
}

// value evaluates an argument, once. The second result is false if that failed
// and was reported.
func (e *evaluator) value(a *attr) (cty.Value, bool) {
	v, done := e.known[a]
	if !done {
		e.doing = append(e.doing, a)
		v, _ = e.eval(a.expr, a.title)
		e.doing = e.doing[:len(e.doing)-1]
		e.known[a] = v
	}
	return v, v != cty.NilVal
}

func (e *evaluator) eval(expr hclsyntax.Expression, title string) (cty.Value, bool) {
	if !e.entries(expr, title) || !e.knownFunctions(expr, title) {
		return cty.NilVal, false
	}
	objects := map[string]map[string]map[string]cty.Value{"fleet": {}, "host": {}}
	ok := true
	for _, t := range expr.Variables() {
		root, name, field, resolved := e.reference(t, title)
		if !resolved.ok {
			ok = false
			continue
		}
		if objects[root][name] == nil {
			objects[root][name] = map[string]cty.Value{}
		}
		objects[root][name][field] = resolved.value
	}
	if !ok {
		return cty.NilVal, false
	}
	ctx := &hcl.EvalContext{Functions: e.calls, Variables: map[string]cty.Value{}}
	if fields := objects["fleet"][""]; fields != nil {
		ctx.Variables["fleet"] = cty.ObjectVal(fields)
	}
	if len(objects["host"]) > 0 {
		hosts := map[string]cty.Value{}
		for name, fields := range objects["host"] {
			hosts[name] = cty.ObjectVal(fields)
		}
		ctx.Variables["host"] = cty.ObjectVal(hosts)
	}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		e.failed(expr, title, diags[0])
		return cty.NilVal, false
	}
	if !v.IsWhollyKnown() {
		e.add(problem{code: "NM0105", rng: expr.Range(), block: title, detail: "The value cannot be told before the deploy."})
		return cty.NilVal, false
	}
	return v, true
}

// entries evaluates the entries of a list or map that is written out, each by
// itself, so that one run tells the mistakes of all.
func (e *evaluator) entries(expr hclsyntax.Expression, title string) bool {
	ok := true
	each := func(entry hclsyntax.Expression) {
		_, fine := e.eval(entry, title)
		ok = ok && fine
	}
	switch x := expr.(type) {
	case *hclsyntax.TupleConsExpr:
		for _, entry := range x.Exprs {
			each(entry)
		}
	case *hclsyntax.ObjectConsExpr:
		for _, entry := range x.Items {
			each(entry.ValueExpr)
		}
	}
	return ok
}

// failed reports what HCL says of an expression.
func (e *evaluator) failed(expr hclsyntax.Expression, title string, d *hcl.Diagnostic) {
	p := problem{code: "NM0105", rng: expr.Range(), block: title, detail: strings.TrimSuffix(d.Summary, ".") + ". " + d.Detail}
	if d.Subject != nil {
		p.rng = *d.Subject
	}
	if _, isCall := d.Extra.(hclsyntax.FunctionCallDiagExtra); isCall || strings.Contains(d.Summary, "function") {
		p.code, p.hint = "NM0207", "the functions are "+strings.Join(functionNames(), ", ")
		if isCall {
			p.hint = "check the arguments"
		}
	}
	e.add(p)
}

// knownFunctions refuses calls of functions that do not exist.
func (e *evaluator) knownFunctions(expr hclsyntax.Expression, title string) bool {
	ok := true
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, is := n.(*hclsyntax.FunctionCallExpr); is && e.calls[call.Name] == (function.Function{}) {
			ok = false
			names := functionNames()
			e.add(problem{code: "NM0207", rng: call.NameRange, block: title,
				detail: fmt.Sprintf("There is no function %q.", call.Name), hint: didYouMean(call.Name, names, "the functions are")})
		}
		return nil
	})
	return ok
}

// result is a resolved reference.
type result struct {
	value cty.Value
	ok    bool
}

// reference resolves host.NAME.FIELD and fleet.FIELD; anything else is reported.
func (e *evaluator) reference(t hcl.Traversal, title string) (root, name, field string, r result) {
	root = t.RootName()
	steps := make([]string, 0, 2)
	for _, step := range t[1:] {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			steps = append(steps, s.Name)
			continue
		case hcl.TraverseIndex:
			if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
				steps = append(steps, s.Key.AsString())
				continue
			}
		}
		break
	}
	switch {
	case root == "host" && len(steps) >= 2:
		v, ok := e.hostField(steps[0], steps[1], t.SourceRange(), title)
		return root, steps[0], steps[1], result{v, ok}
	case root == "fleet" && len(steps) >= 1:
		v, ok := e.fleetField(steps[0], t.SourceRange(), title)
		return root, "", steps[0], result{v, ok}
	default:
		e.unknownReference(t, title)
		return root, "", "", result{}
	}
}

// unknownReference tells the usual slips apart: a shell variable in braces, a
// text without quotes, a half reference.
func (e *evaluator) unknownReference(t hcl.Traversal, title string) {
	root, rng := t.RootName(), t.SourceRange()
	p := problem{code: "NM0201", rng: rng, block: title}
	switch {
	case (root == "var" || root == "local") && e.muted:
		return
	case root == "var" || root == "local":
		p.code, p.detail = "NM0109", "Variables and locals come with a later release of nixmesh."
		p.hint = "write the value itself"
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
		p.hint = didYouMean(root, []string{"host", "fleet"}, "there are")
	}
	e.add(p)
}

// inTemplate says whether a reference stands in ${…} of a text.
func (e *evaluator) inTemplate(r hcl.Range) bool {
	src := e.files[r.Filename]
	return r.Start.Byte <= len(src) && strings.HasSuffix(strings.TrimRight(string(src[max(0, r.Start.Byte-64):r.Start.Byte]), " \t"), "${")
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
	case !known:
		names := make([]string, 0, len(e.hosts))
		for n := range e.hosts {
			names = append(names, n)
		}
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
