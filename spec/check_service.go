package spec

import "fmt"

// checkService holds the rules over one service's arguments.
func (d *decoder) checkService(s *Service, b *block) {
	if !b.refused["version"] { // else package, unit and exec may stand in what was refused
		d.checkProgram(b)
		d.checkForUnit(b)
	}
	if (b.meant("package") || len(s.Versions) > 0) && !runsUnits(b) {
		d.checkUnitAndUser(b)
	}
	d.checkSchedule(b)
	d.checkNames(s, b)
	d.checkVersionHosts(s, b)
	d.checkSplit(s, b)
	d.checkListens(s, b)
	if len(s.Checks) == 0 && !b.refused["check"] && !b.meant("schedule") {
		hint := "add check { tcp = true }"
		if len(s.Listens) == 0 {
			hint = `add check { exec = "bin/ping" }`
		}
		d.add(problem{code: "NM0311", rng: b.header, block: b.title, detail: "A deploy cannot tell a healthy instance from a started one.", hint: hint})
	}
	d.checkMinHealthy(s, b)
}

// checkUnitAndUser refuses names of services that clash with what the service gets
// by its name: a unit (NM0208), and a user, which NixOS bounds to 31 characters.
func (d *decoder) checkUnitAndUser(b *block) {
	switch {
	case isReserved(b.label):
		d.add(problem{code: "NM0208", rng: b.name, block: b.title, detail: fmt.Sprintf("%s.service belongs to NixOS or nixmesh.", b.label),
			hint: reservedHint(b.label)})
	case isName(b.label) && len("nm-"+b.label) > 31:
		d.add(problem{code: "NM0106", rng: b.name, block: b.title, detail: fmt.Sprintf("Its user would be nm-%s, and users have at most 31 characters.", b.label),
			hint: "use a name of at most 28 characters"})
	}
}
