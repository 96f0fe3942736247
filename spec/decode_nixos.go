package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// nixos reads the free-form options.
func (d *decoder) nixos(b *block) (map[string]any, Place) {
	it, ok := d.item(b, "nixos")
	if !ok {
		return nil, Place{}
	}
	if t := it.value.Type(); !t.IsObjectType() && !t.IsMapType() {
		d.wrong(it, fmt.Sprintf("\"nixos\" is a map from options to values, this is %s.", typeName(it.value)), `nixos = { "services.openssh" = { enable = true } }`)
		return nil, Place{}
	}
	tree, _ := plain(it.value).(map[string]any)
	for key, at := range entryPlaces(it.a.expr) {
		if key == "" || slices.Contains(strings.Split(key, "."), "") {
			d.wrong(item{value: it.value, rng: at.key, a: it.a}, fmt.Sprintf("%q is not the path of an option.", key), `nixos = { "services.openssh.enable" = true }`)
		}
	}
	return tree, it.a.place()
}

// plain turns a value into the tree that fleet.go describes.
func plain(v cty.Value) any {
	t := v.Type()
	switch {
	case v.IsNull():
		return nil
	case t == cty.String:
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		if n, exact := v.AsBigFloat().Int64(); exact == 0 {
			return n
		}
		n, _ := v.AsBigFloat().Float64()
		return n
	case t.IsObjectType(), t.IsMapType():
		m := map[string]any{}
		for key, inner := range v.AsValueMap() {
			m[key] = plain(inner)
		}
		return m
	case t.IsTupleType(), t.IsListType(), t.IsSetType():
		list := []any{}
		for _, inner := range v.AsValueSlice() {
			list = append(list, plain(inner))
		}
		return list
	default:
		return nil
	}
}
