package spec

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// A few lines of expressions can ask for more than any machine has: loops in
// loops, texts that double from local to local. So values are weighed while they
// are made: a byte of text weighs 1, an entry of a list or map entryWeight.
const (
	entryWeight = 32
	stepWeight  = 512      // of a step of a loop, an operand, an argument of a call
	maxWeight   = 8 << 20  // of one value
	maxWork     = 64 << 20 // of all values of a fleet, those on the way included
	maxMixed    = 1000     // entries of different types, which are compared with each other
	maxPlaced   = 1 << 20  // hosts that the selectors of a fleet select, each with what runs there
	maxExponent = 1100     // of a number, in powers of two: beyond those of nixpkgs and JSON
)

// work is what the evaluation of a fleet's expressions has cost.
type work struct {
	spent  int
	told   bool // that it was too much
	placed int  // see maxPlaced
}

var (
	errHeavy = fmt.Errorf("the value is too large: more than %d MiB, or %d entries", maxWeight>>20, maxWeight/entryWeight)
	errDeep  = fmt.Errorf("the value is nested deeper than %d levels", maxNesting)
	errHuge  = errors.New("the number is out of range")
	errMixed = fmt.Errorf("the list, or the call, has more than %d entries of different types", maxMixed)
	errWork  = errors.New("the fleet's expressions take too many steps")
)

// charge weighs a value, and adds that to the work.
func (w *work) charge(v cty.Value) (weight int, err error) {
	weight, err = weigh(v, 0)
	w.spent += weight
	if err == nil && w.spent > maxWork {
		err = errWork
	}
	return weight, err
}

// weigh stops at the first bound that the value passes.
func weigh(v cty.Value, depth int) (int, error) {
	t := v.Type()
	switch {
	case depth > maxNesting:
		return 0, errDeep
	case !v.IsKnown() || v.IsNull():
		return entryWeight, nil
	case t == cty.String && len(v.AsString()) > maxWeight:
		return len(v.AsString()), errHeavy
	case t == cty.String:
		return entryWeight + len(v.AsString()), nil
	case t == cty.Number:
		if f := v.AsBigFloat(); f.IsInf() || f.MantExp(nil) > maxExponent || f.MantExp(nil) < -maxExponent {
			return entryWeight, errHuge
		}
		return entryWeight, nil
	case !v.CanIterateElements():
		return entryWeight, nil
	}
	total := entryWeight
	for it := v.ElementIterator(); it.Next(); {
		key, entry := it.Element()
		if key.Type() == cty.String {
			total += len(key.AsString())
		}
		weight, err := weigh(entry, depth+1)
		total += weight
		if err == nil && total > maxWeight {
			err = errHeavy
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// watched is an expression whose value is charged when it is made.
type watched struct {
	hclsyntax.Expression
	work    *work
	unified bool // its entries are brought to one type
}

// Value is the expression's, or unknown once the fleet has cost too much.
func (x watched) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if x.work.spent > maxWork {
		return cty.DynamicVal, nil
	}
	x.work.spent += stepWeight
	v, diags := x.Expression.Value(ctx)
	if diags.HasErrors() {
		return v, diags
	}
	weight, err := x.work.charge(v)
	if err == nil && x.unified && weight > maxMixed*entryWeight && v.IsWhollyKnown() {
		v, err = cty.Transform(v, oneType)
	}
	if err != nil {
		return cty.DynamicVal, append(diags, x.work.diagnostic(err, x.Range()))
	}
	return v, diags
}

// diagnostic carries a bound that was passed through HCL's own.
func (w *work) diagnostic(err error, r hcl.Range) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Too large", Detail: err.Error(), Subject: &r, Extra: err}
}

// oneType makes a list of a long tuple: HCL itself would compare the type of each
// entry with each.
func oneType(_ cty.Path, v cty.Value) (cty.Value, error) {
	if v.IsNull() || !v.Type().IsTupleType() || v.LengthInt() <= maxMixed {
		return v, nil
	}
	types := v.Type().TupleElementTypes()
	for _, other := range types[1:] {
		if !other.Equals(types[0]) {
			return v, errMixed
		}
	}
	return cty.ListVal(v.AsValueSlice()), nil
}

// watch has the parts of an expression charged where values are copied, compared
// or repeated.
func (w *work) watch(expr hclsyntax.Expression) { _ = hclsyntax.Walk(expr, watcher{w}) }

type watcher struct{ work *work }

// Enter waits: a wrapper hides the kind of what it wraps.
func (watcher) Enter(hclsyntax.Node) hcl.Diagnostics { return nil }

// Exit wraps the parts of a node, whose own parts are wrapped already.
func (x watcher) Exit(node hclsyntax.Node) hcl.Diagnostics {
	wrap := func(unified bool, parts ...*hclsyntax.Expression) {
		for _, part := range parts {
			if literal, is := (*part).(*hclsyntax.LiteralValueExpr); *part != nil && (!is || literal.Val.Type() == cty.Number) {
				*part = watched{*part, x.work, unified}
			}
		}
	}
	switch n := node.(type) {
	case *hclsyntax.ForExpr:
		wrap(false, &n.KeyExpr, &n.ValExpr, &n.CondExpr)
	case *hclsyntax.TemplateExpr:
		for i := range n.Parts {
			wrap(false, &n.Parts[i])
		}
	case *hclsyntax.BinaryOpExpr:
		wrap(false, &n.LHS, &n.RHS)
	case *hclsyntax.ConditionalExpr:
		wrap(true, &n.TrueResult, &n.FalseResult)
	case *hclsyntax.SplatExpr:
		wrap(false, &n.Source)
	case *hclsyntax.FunctionCallExpr:
		for i := range n.Args {
			wrap(true, &n.Args[i])
		}
	}
	return nil
}

// foreseen refuses a call whose result, or effort, can be far more than its
// arguments, before it is made.
func foreseen(f function.Function, weight func(args []cty.Value) int) function.Function {
	return function.New(&function.Spec{
		Params:   f.Params(),
		VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			for _, arg := range args {
				if !arg.IsWhollyKnown() {
					return f.ReturnTypeForValues(args)
				}
			}
			if weight(args) > maxWeight {
				return cty.NilType, errHeavy
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

func joinWeight(args []cty.Value) int {
	total, separator := 0, len(args[0].AsString())
	for _, list := range args[1:] {
		weight, _ := weigh(list, 0)
		total += weight + separator*list.LengthInt()
	}
	return total
}

// splitWeight counts the entries that a text falls into.
func splitWeight(args []cty.Value) int {
	return entryWeight * strings.Count(args[1].AsString(), args[0].AsString())
}

func replaceWeight(args []cty.Value) int {
	text, old, replacement := args[0].AsString(), args[1].AsString(), args[2].AsString()
	return len(text) + strings.Count(text, old)*len(replacement)
}

// distinctWeight: each entry is compared with each.
func distinctWeight(args []cty.Value) int { return args[0].LengthInt() * args[0].LengthInt() }

// formatWeight counts widths, and each verb as the heaviest argument in JSON,
// where a byte may take six.
func formatWeight(args []cty.Value) int {
	most := 0
	for _, arg := range args[1:] {
		weight, _ := weigh(arg, 0)
		most = max(most, weight)
	}
	text := args[0].AsString()
	total := len(text)
	for _, verb := range regexp.MustCompile(`%[-+# 0]*([0-9]*)\.?([0-9]*)`).FindAllStringSubmatch(text, -1) {
		for _, digits := range verb[1:] {
			if n, err := strconv.Atoi(digits); err == nil {
				total += min(n, maxWeight)
			} else if digits != "" {
				return maxWeight + 1
			}
		}
		if total += most * 6; total > maxWeight {
			break
		}
	}
	return total
}
