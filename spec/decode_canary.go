package spec

import "fmt"

// canary decodes the plan of a shift and holds its rules (NM0310).
func (d *decoder) canary(s *Service, parent *block) {
	if len(parent.all("canary")) == 0 {
		return
	}
	b := parent.one("canary")
	d.required(b)
	s.Canary = &Canary{
		Place:       b.place(),
		Steps:       d.steps(b),
		Every:       d.duration(b, "every"),
		MinSuccess:  d.percent(b, "min_success"),
		MaxP99:      d.duration(b, "max_p99"),
		MinRequests: d.whole(b, "min_requests"),
	}
	if len(parent.all("version")) < 2 && !parent.refused["version"] {
		d.add(problem{code: "NM0310", rng: b.header, block: b.title, detail: "A canary shifts calls from one version to another: the service needs two.",
			hint: `add version "v1" { … } and version "v2" { … }, or delete canary`})
	}
}

// steps reads shares that rise to 100.
func (d *decoder) steps(b *block) []float64 {
	b.arg("steps", typePercents)
	var steps []float64
	entries := d.items(b, "steps")
	for _, it := range entries {
		share, ok := d.asPercent(it, 0, 100)
		if !ok {
			return nil
		}
		if share == 0 || len(steps) > 0 && share <= steps[len(steps)-1] {
			d.add(problem{code: "NM0310", rng: it.rng, block: b.title, detail: fmt.Sprintf("Steps rise, and %g%% is no more than the step before it.", share),
				hint: "for example steps = [10, 25, 50, 100]"})
			return nil
		}
		steps = append(steps, share)
	}
	if d.emptyList(b, "steps") || len(steps) > 0 && steps[len(steps)-1] != 100 {
		rng := b.attrs["steps"].expr.Range()
		if len(entries) > 0 {
			rng = entries[len(entries)-1].rng
		}
		d.add(problem{code: "NM0310", rng: rng, block: b.title, detail: "The last step is 100: the new version gets everything.", hint: "for example steps = [10, 25, 50, 100]"})
	}
	return steps
}
