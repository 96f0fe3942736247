package spec

import (
	"math"

	"github.com/zclconf/go-cty/cty"
)

// rollout decodes all but the waves, which need the hosts.
func (d *decoder) rollout(b *block) Rollout {
	r := Rollout{
		Place:           b.place(),
		Confirm:         d.duration(b, "confirm"),
		Settle:          d.duration(b, "settle"),
		ActivateTimeout: d.duration(b, "activate_timeout"),
		Soak:            d.duration(b, "soak"),
		OnFail:          d.choice(b, "on_fail"),
		MaxFailed:       d.whole(b, "max_failed"),
		LastResort:      d.choice(b, "last_resort"),
		Parallel:        4,
		Gate:            d.gate(b.one("gate")),
	}
	it, ok := d.item(b, "parallel")
	if !ok {
		return r
	}
	zero := it.value.Type() == cty.Number && it.value.AsBigFloat().Sign() == 0
	percent, isPercent := 0.0, false
	if it.value.Type() == cty.String {
		percent, isPercent = parsePercent(it.value.AsString())
	}
	switch {
	case zero || isPercent && percent == 0:
		d.add(problem{code: "NM0506", rng: it.rng, block: b.title, detail: "With 0 hosts at once no deploy would ever begin.", hint: "for example parallel = 1"})
	case it.value.Type() == cty.Number:
		if n, ok := d.asWhole(it, 1, math.MaxInt32); ok {
			r.Parallel = n
		}
	default:
		if p, ok := d.asPercent(it, 0.01, 100); ok {
			r.Parallel, r.ParallelPct = 0, p
		}
	}
	return r
}
