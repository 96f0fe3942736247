package spec

import (
	"cmp"
	"fmt"
	"time"
)

// checkRollout refuses times that no deploy can meet (NM0506): a host waits for
// the longest settle of its services, within the longest confirm.
func (d *decoder) checkRollout(p *pairs) {
	r, b := p.f.Rollout, p.fleet.one("rollout")
	if gate := b.one("gate"); gate.has("p99") && r.Gate.P99 == 0 {
		d.add(problem{code: "NM0506", rng: gate.attrs["p99"].expr.Range(), block: b.title,
			detail: "No two measurements of a latency are alike: with 0 every second wave would fail.", hint: "for example p99 = 50, or leave it out"})
	}
	if d.unsure(b, "settle", "confirm") {
		return
	}
	if r.Settle >= r.Confirm {
		d.tooLong(b, r.Settle, r.Confirm)
		return
	}
	for i, s := range p.f.Services {
		settle, confirm := cmp.Or(s.Rollout.Settle, r.Settle), max(s.Rollout.Confirm, r.Confirm)
		if own := p.services[i].one("rollout"); settle >= confirm && !d.unsure(own, "settle", "confirm") {
			d.tooLong(own, settle, confirm)
		}
	}
}

func (d *decoder) tooLong(b *block, settle, confirm time.Duration) {
	rng := b.header
	if a := b.attrs["settle"]; a != nil {
		rng = a.expr.Range()
	} else if a := b.attrs["confirm"]; a != nil {
		rng = a.expr.Range()
	}
	d.add(problem{code: "NM0506", rng: rng, block: b.title,
		detail: fmt.Sprintf("settle is %s and confirm is %s: no host could be confirmed in time.", DurationText(settle), DurationText(confirm)), hint: "settle must be shorter than confirm"})
}

// checkMinHealthy refuses a number that lets no instance stop (NM0507).
func (d *decoder) checkMinHealthy(s *Service, b *block) {
	rollout := b.one("rollout")
	if !rollout.has("min_healthy") || s.Rollout.MinHealthy < 0 || d.unsure(b, "instances") || d.unsure(rollout, "min_healthy") || !d.placed(s, b) {
		return
	}
	instances := 0
	for _, v := range s.Variants() {
		instances += len(v.On) * s.Instances
	}
	if s.Rollout.MinHealthy >= instances {
		d.add(problem{code: "NM0507", rng: rollout.attrs["min_healthy"].expr.Range(), block: b.title,
			detail: fmt.Sprintf("The service has %d instance(s): with %d to stay healthy, none could ever restart.", instances, s.Rollout.MinHealthy),
			hint:   fmt.Sprintf("min_healthy is at most %d", max(0, instances-1))})
	}
}

// placed says whether the hosts of a service and of its versions are known. They
// are not where a selector was refused.
func (d *decoder) placed(s *Service, b *block) bool {
	if len(s.On) == 0 || b.refused["version"] {
		return false
	}
	for i, vb := range b.all("version") {
		if len(s.Versions[i].On) == 0 && !parked(d, vb) {
			return false
		}
	}
	return true
}
