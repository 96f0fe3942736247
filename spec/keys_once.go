package spec

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// keysOnce refuses a key that stands twice in a map: HCL would take the last
// without a word (NM0107). It sees the keys that are written out; those that are
// computed follow when their map is evaluated, see object.
func (e *evaluator) keysOnce(expr hclsyntax.Expression, title string) bool {
	switch expr.(type) {
	case *hclsyntax.LiteralValueExpr, *hclsyntax.ScopeTraversalExpr:
		return true
	}
	ok := true
	_ = hclsyntax.VisitAll(expr, func(n hclsyntax.Node) hcl.Diagnostics {
		x, is := n.(*hclsyntax.ObjectConsExpr)
		if !is {
			return nil
		}
		first := make(map[string]hcl.Range, len(x.Items))
		for _, entry := range x.Items {
			key, written := writtenKey(entry)
			if !written {
				continue
			}
			if earlier, twice := first[key]; twice {
				ok = false
				e.keyTwice(key, entry.KeyExpr.Range(), earlier, title)
				continue
			}
			first[key] = entry.KeyExpr.Range()
		}
		return nil
	})
	return ok
}

func (e *evaluator) keyTwice(key string, again, earlier hcl.Range, title string) {
	e.add(problem{code: "NM0107", rng: again, block: title, detail: fmt.Sprintf("The key %q stands at %s already.", key, at(earlier)), hint: "keep one of the two"})
}

// writtenKey is the key of an entry, unless it has to be computed.
func writtenKey(entry hclsyntax.ObjectConsItem) (string, bool) {
	v, diags := entry.KeyExpr.Value(nil)
	if diags.HasErrors() || !v.IsKnown() || v.IsNull() {
		return "", false
	}
	text, err := convert.Convert(v, cty.String)
	if err != nil {
		return "", false
	}
	return text.AsString(), true
}
