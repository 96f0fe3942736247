package spec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// env reads the environment of a service or version. A name whose value is
// wrong is kept with an empty one, since commands may use it.
func (d *decoder) env(b *block) (map[string]string, Place) {
	members, place := d.members(b, "env"), Place{}
	if a := b.attrs["env"]; a != nil {
		place = a.place()
	}
	env := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		it := members[name]
		if !d.variable(it, name) {
			continue
		}
		if !it.value.IsNull() && it.value.Type().IsPrimitiveType() {
			if v, err := convert.Convert(it.value, cty.String); err == nil {
				it.value = v
			}
		}
		env[name], _ = d.asText(it.atValue())
	}
	return env, place
}

// variable refuses what is not the name of a variable (NM0313).
func (d *decoder) variable(it item, name string) bool {
	if isVariable(name) {
		return true
	}
	d.add(problem{code: "NM0313", rng: it.rng, block: it.a.title, detail: fmt.Sprintf("%q is not the name of a variable.", name),
		hint: "letters, digits and _, and no digit at the start"})
	return false
}
