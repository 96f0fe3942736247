package spec

import (
	"fmt"
	"maps"
	"slices"
)

// collectLocals makes the locals of all blocks known by name.
func (d *decoder) collectLocals(top *block) {
	for _, b := range top.all("locals") {
		for _, name := range slices.Sorted(maps.Keys(b.attrs)) {
			a := b.attrs[name]
			if earlier := d.locals[name]; earlier != nil {
				d.add(problem{code: "NM0004", rng: a.key, block: b.title, detail: fmt.Sprintf("There is a local %q at %s already.", name, at(earlier.key)),
					hint: "give one of the two another name"})
				continue
			}
			a.path = "local"
			d.locals[name] = a
		}
	}
}

// allLocals evaluates those that nothing has asked for, for their mistakes.
func (d *decoder) allLocals() {
	for _, name := range slices.Sorted(maps.Keys(d.locals)) {
		d.value(d.locals[name])
	}
}
