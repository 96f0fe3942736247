package spec

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// entriesOf are the texts of a list that was read before, with their places.
func (d *decoder) entriesOf(b *block, name string) []item {
	a := b.attrs[name]
	if a == nil {
		return nil
	}
	v, ok := d.value(a)
	if !ok || v.IsNull() || !isList(v) {
		return nil
	}
	literal, _ := a.expr.(*hclsyntax.TupleConsExpr)
	var entries []item
	for i, entry := range v.AsValueSlice() {
		if entry.IsNull() || entry.Type() != cty.String {
			continue
		}
		it := item{value: entry, rng: a.expr.Range(), a: a, name: name}
		if literal != nil && i < len(literal.Exprs) {
			it.rng = literal.Exprs[i].Range()
		}
		entries = append(entries, it)
	}
	return entries
}

// emptyList says whether an argument is a list without entries. It reports nothing.
func (d *decoder) emptyList(b *block, name string) bool {
	a := b.attrs[name]
	if a == nil {
		return false
	}
	v, ok := d.value(a)
	return ok && !v.IsNull() && isList(v) && v.LengthInt() == 0
}

func isList(v cty.Value) bool {
	t := v.Type()
	return t.IsTupleType() || t.IsListType() || t.IsSetType()
}
