package spec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// evaluator gives values to expressions. References are resolved one by one,
// on demand, so that each mistake has the range of its own reference and a host's
// attributes may use another host's, unless they go in a circle.
type evaluator struct {
	*sink
	dir     string
	files   map[string][]byte
	fleet   *block
	hosts   map[string]*block
	vars    map[string]cty.Value // NilVal = has none, which was reported
	locals  map[string]*attr
	refused map[string]bool // kinds of blocks of which some were refused: names may be theirs
	calls   map[string]function.Function
	work    work
	regexps map[string]*regexp.Regexp
	known   map[*attr]cty.Value // values that were asked for; NilVal = was reported
	doing   []*attr             // the arguments now being evaluated
}

func newEvaluator(s *sink, dir string, files map[string][]byte, top, fleet *block) *evaluator {
	e := &evaluator{sink: s, dir: dir, files: files, fleet: fleet, refused: top.refused, hosts: map[string]*block{},
		vars: map[string]cty.Value{}, locals: map[string]*attr{}, calls: functions(dir), regexps: map[string]*regexp.Regexp{}, known: map[*attr]cty.Value{}}
	for _, h := range top.all("host") {
		e.hosts[h.label] = h
	}
	return e
}

// pattern is a regular expression of ours, compiled once in a run.
func (e *evaluator) pattern(text string) *regexp.Regexp {
	if e.regexps[text] == nil {
		e.regexps[text] = regexp.MustCompile(text)
	}
	return e.regexps[text]
}

// value evaluates an argument, once. The second result is false if that failed
// and was reported.
func (e *evaluator) value(a *attr) (cty.Value, bool) {
	v, done := e.known[a]
	if !done && e.full() {
		return cty.NilVal, false
	}
	if !done {
		e.doing = append(e.doing, a)
		once := e.keysOnce(a.expr, a.title)
		if v = e.eval(a.expr, a.title); !once {
			v = cty.NilVal // of two values for a key, neither is known to be meant
		}
		if v != cty.NilVal {
			if _, err := e.work.charge(v); err != nil {
				e.tooMuch(problem{rng: a.expr.Range(), block: a.title}, err)
				v = cty.NilVal
			}
		}
		e.doing = e.doing[:len(e.doing)-1]
		e.known[a] = v
	}
	return v, v != cty.NilVal
}

// eval is the value of an expression, NilVal if there is none. The entries of a
// list or map that is written out are evaluated each by itself, so that one run
// tells the mistakes of all.
func (e *evaluator) eval(expr hclsyntax.Expression, title string) cty.Value {
	if !isLiteral(expr) {
		switch x := expr.(type) {
		case *hclsyntax.TupleConsExpr:
			return e.list(x, title)
		case *hclsyntax.ObjectConsExpr:
			return e.object(x, title)
		}
	}
	ctx := &hcl.EvalContext{Functions: e.calls}
	if !isLiteral(expr) {
		names, named := e.names(expr, title)
		if !e.knownFunctions(expr, title) || !named || e.work.spent > maxWork {
			return cty.NilVal
		}
		ctx.Variables = names
		e.work.watch(expr)
	}
	v, diags := expr.Value(ctx)
	switch {
	case diags.HasErrors():
		e.failed(expr, title, diags)
		return cty.NilVal
	case e.work.spent > maxWork:
		return cty.NilVal // was said of the expression that passed the bound
	case !v.IsWhollyKnown():
		e.add(problem{code: "NM0105", rng: expr.Range(), block: title, detail: "The value cannot be told before the deploy."})
		return cty.NilVal
	}
	return v
}

func (e *evaluator) list(x *hclsyntax.TupleConsExpr, title string) cty.Value {
	entries, ok := make([]cty.Value, len(x.Exprs)), true
	for i, entry := range x.Exprs {
		entries[i] = e.eval(entry, title)
		ok = ok && entries[i] != cty.NilVal
	}
	if !ok {
		return cty.NilVal
	}
	return cty.TupleVal(entries)
}

func (e *evaluator) object(x *hclsyntax.ObjectConsExpr, title string) cty.Value {
	entries, ok := map[string]cty.Value{}, true
	first, computed := map[string]hcl.Range{}, map[string]bool{} // by key
	for _, entry := range x.Items {
		key, v := e.eval(entry.KeyExpr, title), e.eval(entry.ValueExpr, title)
		if key == cty.NilVal || v == cty.NilVal {
			ok = false
			continue
		}
		text, err := convert.Convert(key, cty.String)
		if err != nil || text.IsNull() {
			ok = false
			e.add(problem{code: "NM0105", rng: entry.KeyExpr.Range(), block: title, detail: fmt.Sprintf("The key of an entry is a text, this is %s.", typeName(key))})
			continue
		}
		name := text.AsString()
		_, isWritten := writtenKey(entry)
		if earlier, twice := first[name]; twice && (computed[name] || !isWritten) { // else keysOnce told
			ok = false
			e.keyTwice(name, entry.KeyExpr.Range(), earlier, title)
			computed[name] = false
			continue
		}
		first[name], computed[name] = entry.KeyExpr.Range(), !isWritten
		entries[name] = v
	}
	if !ok {
		return cty.NilVal
	}
	return cty.ObjectVal(entries)
}

// isLiteral says whether an expression refers to nothing and calls nothing, as
// nearly all do.
func isLiteral(expr hclsyntax.Expression) bool {
	switch x := expr.(type) {
	case *hclsyntax.LiteralValueExpr:
		return true
	case *hclsyntax.TemplateExpr:
		return x.IsStringLiteral() || len(x.Parts) == 0
	case *hclsyntax.TupleConsExpr:
		for _, entry := range x.Exprs {
			if !isLiteral(entry) {
				return false
			}
		}
		return true
	case *hclsyntax.ObjectConsExpr:
		for _, entry := range x.Items {
			key, is := entry.KeyExpr.(*hclsyntax.ObjectConsKeyExpr)
			if !is || hcl.ExprAsKeyword(key) == "" && !isLiteral(key.Wrapped) || !isLiteral(entry.ValueExpr) {
				return false
			}
		}
		return true
	}
	return false
}

// names are the values that an expression refers to.
func (e *evaluator) names(expr hclsyntax.Expression, title string) (map[string]cty.Value, bool) {
	found, ok := map[string]map[string]cty.Value{}, true
	for _, t := range expr.Variables() {
		ok = e.reference(t, title, found) && ok
	}
	if !ok {
		return nil, false
	}
	names := map[string]cty.Value{}
	for root, fields := range found {
		names[root] = cty.ObjectVal(fields)
	}
	return names, true
}

// knownFunctions refuses calls of functions that do not exist.
func (e *evaluator) knownFunctions(expr hclsyntax.Expression, title string) bool {
	ok := true
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		call, is := n.(*hclsyntax.FunctionCallExpr)
		if is && len(call.Args) > maxMixed {
			ok = false
			e.tooMuch(problem{rng: e.source(call.NameRange), block: title}, errMixed)
		} else if is && e.calls[call.Name] == (function.Function{}) {
			ok = false
			e.add(problem{code: "NM0207", rng: e.source(call.NameRange), block: title,
				detail: fmt.Sprintf("There is no function %q.", call.Name), hint: didYouMean(call.Name, functionNames(), "the functions are")})
		}
		return nil
	})
	return ok
}

// failed reports the first thing that HCL says of an expression: what follows is
// mostly its echo.
func (e *evaluator) failed(expr hclsyntax.Expression, title string, diags hcl.Diagnostics) {
	d := diags[slices.IndexFunc(diags, func(d *hcl.Diagnostic) bool { return d.Severity == hcl.DiagError })]
	p := problem{code: "NM0105", rng: expr.Range(), block: title, detail: strings.TrimSuffix(d.Summary, ".") + ". " + d.Detail}
	if d.Subject != nil {
		p.rng = e.source(*d.Subject)
	}
	bound, isBound := d.Extra.(error)
	call, isCall := d.Extra.(hclsyntax.FunctionCallDiagExtra)
	switch {
	case isBound:
		e.tooMuch(p, bound)
		return
	case isCall && errors.Is(call.FunctionCallError(), errHeavy):
		e.tooMuch(p, errHeavy)
		return
	case isCall && asFileError(call.FunctionCallError()) != nil:
		bad := asFileError(call.FunctionCallError())
		if x, is := d.Expression.(*hclsyntax.FunctionCallExpr); is && len(x.Args) > 0 {
			p.rng = e.source(x.Args[0].Range())
		}
		e.noFile(p, bad.rel, bad.err)
		return
	case isCall:
		name := call.CalledFunctionName()
		p.code, p.detail, p.hint = "NM0207", callDetail(name, d.Detail), "it is called like "+callForms()[name]
	case strings.Contains(d.Summary, "function"):
		p.code, p.hint = "NM0207", "the functions are "+strings.Join(functionNames(), ", ")
	}
	e.add(p)
}

// tooMuch reports a bound of bounds.go; that of all work once.
func (e *evaluator) tooMuch(p problem, bound error) {
	if errors.Is(bound, errWork) && e.work.told {
		return
	}
	e.work.told = e.work.told || errors.Is(bound, errWork)
	p.code, p.detail = "NM0210", strings.ToUpper(bound.Error()[:1])+bound.Error()[1:]+"."
	p.hint = "write less of it in HCL: a file that the program reads, or a Nix module"
	if errors.Is(bound, errHuge) {
		p.hint = "numbers go up to 1e300"
	}
	e.add(p)
}
