package spec

import "fmt"

// checkSchedule refuses what a job has no use for (NM0314): it is started by its
// timer, ends by itself, and takes no calls.
func (d *decoder) checkSchedule(b *block) {
	if !b.meant("schedule") {
		return
	}
	bad := problem{code: "NM0314", block: b.title, hint: "delete it, or delete schedule and let the service run all the time"}
	for _, name := range []string{"restart", "instances"} {
		if b.has(name) {
			bad.rng, bad.detail = b.attrs[name].key, fmt.Sprintf("A job is started by its timer: it takes no %s.", name)
			d.add(bad)
		}
	}
	for _, inner := range b.blocks {
		if inner.kind == "listen" || inner.kind == "version" {
			bad.rng, bad.detail = inner.header, fmt.Sprintf("A job ends by itself: it takes no %s.", inner.kind)
			d.add(bad)
		}
	}
}
