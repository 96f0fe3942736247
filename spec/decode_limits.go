package spec

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"
)

// limits decodes what a service may take of its host. A unit that another module
// makes keeps its own where nothing is written.
func (d *decoder) limits(b *block, unit bool) Limits {
	l := Limits{
		Place:       b.place(),
		Memory:      d.size(b, "memory"),
		CPU:         d.cpu(b),
		Tasks:       d.whole(b, "tasks"),
		Files:       d.whole(b, "files"),
		Connections: d.whole(b, "connections"),
	}
	if unit && !b.has("files") {
		l.Files = 0
	}
	return l
}

// cpu reads a share of one core, with its sign: 2 would mean 2%, and look like two
// cores.
func (d *decoder) cpu(b *block) float64 {
	if it, ok := d.item(b, "cpu"); ok && it.value.Type() == cty.Number {
		n, _ := it.value.AsBigFloat().Float64()
		cores := ""
		if n > 0 && n <= 64 {
			cores = fmt.Sprintf(" (%g cores)", n)
			n *= 100
		}
		it.a.bad = true
		d.add(problem{code: "NM0105", rng: it.rng, block: b.title, detail: `"cpu" is a percentage of one core, with its sign.`, hint: fmt.Sprintf("for example cpu = \"%g%%\"%s", n, cores)})
		return 0
	}
	return d.percent(b, "cpu")
}

// serviceRollout decodes a service's own times; the same holds for its stop.
func (d *decoder) serviceRollout(b *block, unit bool) ServiceRollout {
	r := ServiceRollout{
		Place:      b.place(),
		Confirm:    d.duration(b, "confirm"),
		Settle:     d.duration(b, "settle"),
		MinHealthy: -1,
		Drain:      d.duration(b, "drain"),
		Stop:       d.duration(b, "stop"),
	}
	if b.has("min_healthy") {
		r.MinHealthy = d.whole(b, "min_healthy")
	}
	if unit && !b.has("stop") {
		r.Stop = 0
	}
	return r
}
