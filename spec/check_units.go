package spec

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
)

// unitOwner is who has a unit on a host.
type unitOwner struct {
	what string
	rng  hcl.Range
	made bool // by nixmesh, for a service with a package
}

type unitOnHost struct{ host, unit string }

// checkUnitNames refuses a unit that two services or versions claim on one host
// (NM0321): a unit has one identity.
func (d *decoder) checkUnitNames(p *pairs) {
	claimed := map[string]bool{} // by unit = "…"
	for i, s := range p.f.Services {
		d.checkInstanceNames(s, p.services[i].all("version"))
		for _, v := range s.Variants() {
			claimed[v.Unit] = v.Unit != ""
		}
	}
	owners := p.madeUnits(claimed)
	for i, s := range p.f.Services {
		b, versions := p.services[i], p.services[i].all("version")
		for n, v := range s.Variants() {
			claim, what := b, b.title
			if v.Name != "" {
				claim, what = versions[n], fmt.Sprintf("version %q of %s", v.Name, b.title)
			}
			if v.Unit == "" || !claim.has("unit") {
				continue
			}
			rng := claim.attrs["unit"].expr.Range()
			for _, host := range v.On {
				first, taken := owners[unitOnHost{host, v.Unit}]
				if !taken {
					owners[unitOnHost{host, v.Unit}] = unitOwner{what: what, rng: rng}
					continue
				}
				hint := "a unit is one service; give it two listens if it takes calls on two ports"
				if first.made {
					hint = "nixmesh makes that unit for that service: give it another name, or name the unit that something else makes"
				}
				d.add(problem{code: "NM0321", rng: rng, block: b.title,
					detail: fmt.Sprintf("On %s, %s is the unit of %s already, at %s.", host, v.Unit, first.what, at(first.rng)), hint: hint})
				break
			}
		}
	}
}

// madeUnits are the units of services with packages, of those that some service
// claims by their names.
func (p *pairs) madeUnits(claimed map[string]bool) map[unitOnHost]unitOwner {
	made := map[unitOnHost]unitOwner{}
	for i, s := range p.f.Services {
		if runsUnits(p.services[i]) {
			continue
		}
		for _, v := range s.Variants() {
			for n := 1; n <= s.Instances; n++ {
				unit := InstanceName(s.Name, v.Name, n) + ".service"
				if !claimed[unit] {
					continue
				}
				for _, host := range v.On {
					made[unitOnHost{host, unit}] = unitOwner{what: p.services[i].title, rng: p.services[i].header, made: true}
				}
			}
		}
	}
	return made
}

// checkInstanceNames refuses a version whose name another one's instance has:
// "v1-2" is also the second instance of "v1".
func (d *decoder) checkInstanceNames(s *Service, versions []*block) {
	further := map[string]string{} // the name of a second or later instance -> its version
	for _, b := range versions {
		for n := 2; n <= s.Instances; n++ {
			further[InstanceName(s.Name, b.label, n)] = b.label
		}
	}
	for _, b := range versions {
		if other, taken := further[InstanceName(s.Name, b.label, 1)]; taken {
			d.add(problem{code: "NM0321", rng: b.name, block: b.title,
				detail: fmt.Sprintf("%s.service is also an instance of version %q.", InstanceName(s.Name, b.label, 1), other), hint: "give the version another name"})
		}
	}
}
