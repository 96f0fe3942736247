package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// checkProgram holds what a service and its versions run: packages with
// commands, or units, and no mix of both (NM0301, NM0302).
func (d *decoder) checkProgram(b *block) {
	versions := b.all("version")
	for _, part := range append([]*block{b}, versions...) {
		if d.bothPrograms(part) {
			return
		}
	}
	switch {
	case len(versions) == 0:
		d.checkProgramOf(b)
	case runsUnits(b):
		d.checkUnits(b, versions)
	default:
		d.checkPackages(b, versions)
	}
}

// bothPrograms refuses package and unit in one block. It also holds if one of
// the two is a typo, which was reported.
func (d *decoder) bothPrograms(b *block) bool {
	if !b.meant("package") || !b.meant("unit") {
		return false
	}
	if b.has("package") && b.has("unit") {
		d.add(problem{code: "NM0301", rng: lower(b.attrs["package"].key, b.attrs["unit"].key), block: b.title,
			detail: fmt.Sprintf("A %s is a package or a unit, not both.", b.kind), hint: "keep one: package for a program of yours, unit for what a NixOS module runs"})
	}
	return true
}

// checkProgramOf is for a service without versions.
func (d *decoder) checkProgramOf(b *block) {
	switch {
	case !b.meant("package") && !b.meant("unit"):
		d.add(problem{code: "NM0301", rng: b.header, block: b.title, detail: "Nothing says what the service runs.",
			hint: `add package = "ATTR" with exec, or unit = "NAME.service"`})
	case b.has("package") && !b.meant("exec"):
		d.add(problem{code: "NM0302", rng: b.attrs["package"].key, block: b.title, detail: "The package has no command.", hint: `add exec = "bin/` + b.label + `"`})
	case b.meant("unit"):
		d.noCommand(b)
	}
}

// noCommand refuses exec beside units.
func (d *decoder) noCommand(b *block) {
	if b.has("exec") {
		d.add(problem{code: "NM0302", rng: b.attrs["exec"].key, block: b.title, detail: "The unit has its own command.", hint: "delete exec, or use package in place of unit"})
	}
}

// checkUnits is for versions of which one at least is a unit: then each is.
func (d *decoder) checkUnits(b *block, versions []*block) {
	mixed := problem{code: "NM0301", block: b.title}
	if b.has("unit") {
		mixed.rng, mixed.detail = b.attrs["unit"].key, "Versions that shared one unit would be one and the same."
		mixed.hint = `give each version a unit of its own`
		d.add(mixed)
		return
	}
	for _, part := range append([]*block{b}, versions...) {
		switch {
		case part.has("package"):
			mixed.rng, mixed.detail = part.attrs["package"].key, "Some versions are units, so none is of a package."
			mixed.hint = "delete package, and give each version a unit"
			d.add(mixed)
			return
		case part != b && !part.meant("unit"):
			mixed.rng, mixed.detail = part.header, fmt.Sprintf("Other versions are units, and version %q is none.", part.label)
			mixed.hint = fmt.Sprintf("add unit = %q", part.label+".service")
			d.add(mixed)
		}
		d.noCommand(part)
	}
}

// checkPackages is for versions of packages; each has a command, its own or the
// service's.
func (d *decoder) checkPackages(b *block, versions []*block) {
	commands := slices.ContainsFunc(versions, func(v *block) bool { return v.meant("exec") })
	if !b.meant("exec") && !commands {
		d.add(problem{code: "NM0302", rng: b.header, block: b.title, detail: "The versions have no command.", hint: `add exec = "bin/` + b.label + `"`})
	}
	for _, v := range versions {
		if !v.meant("package") && !b.meant("package") {
			d.add(problem{code: "NM0301", rng: v.header, block: b.title, detail: fmt.Sprintf("Nothing says what version %q runs.", v.label),
				hint: `add package = "ATTR" to it, or to the service`})
		}
		if commands && !b.meant("exec") && !v.meant("exec") {
			d.add(problem{code: "NM0302", rng: v.header, block: b.title, detail: fmt.Sprintf("Version %q has no command.", v.label),
				hint: `add exec = "bin/` + b.label + `" to it, or to the service`})
		}
	}
}

// checkForUnit refuses arguments about the unit's own running, beside a unit that
// something else defines (NM0320), and a user beside a package (NM0318).
func (d *decoder) checkForUnit(b *block) {
	if !runsUnits(b) {
		if b.has("user") {
			d.add(problem{code: "NM0318", rng: b.attrs["user"].key, block: b.title, detail: "Users of packages are made by nixmesh.",
				hint: "delete it: the service runs as nm-" + b.label})
		}
		return
	}
	for _, name := range []string{"before_start", "schedule", "restart", "instances"} {
		if b.has(name) {
			d.add(problem{code: "NM0320", rng: b.attrs[name].key, block: b.title,
				detail: fmt.Sprintf("A unit that a NixOS module runs has its own way of starting: %s is for packages.", name),
				hint:   "delete it, and say it to the module, or to systemd.services in nixos"})
		}
	}
}

func reservedHint(name string) string {
	if strings.HasPrefix(name, "nixmesh") || name == "envoy" {
		return "use another name"
	}
	return fmt.Sprintf("use another name, or unit = %q for the one that NixOS runs", name+".service")
}

// lower is the one of two places that stands further down.
func lower(a, b hcl.Range) hcl.Range {
	if a.Start.Byte > b.Start.Byte {
		return a
	}
	return b
}
