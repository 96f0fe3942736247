package spec

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// check decodes one check of a service and holds its rules (NM0312, NM0209).
func (d *decoder) check(f *Fleet, s *Service, service, b *block, unsure bool) *Check {
	c := &Check{
		Place:   b.place(),
		Every:   d.duration(b, "every", 5*time.Second, 100*time.Millisecond),
		Timeout: d.duration(b, "timeout", 3*time.Second, time.Millisecond),
		Rise:    d.whole(b, "rise", 2, 1, 1000),
		Fall:    d.whole(b, "fall", 3, 1, 1000),
		After:   d.duration(b, "after", 0, 0),
		Package: d.pkg(f, b),
	}
	var kinds []string
	for _, kind := range []string{"http", "tcp", "grpc", "exec"} {
		if b.has(kind) {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 0 && (b.refused["http"] || b.refused["tcp"] || b.refused["grpc"] || b.refused["exec"]) {
		return c
	}
	if len(kinds) != 1 {
		detail, rng := "The check says nothing to check.", b.header
		if len(kinds) > 1 {
			detail, rng = fmt.Sprintf("The check has %s: one check is of one kind.", strings.Join(kinds, " and ")), b.attrs[kinds[1]].key
		}
		d.add(problem{code: "NM0312", rng: rng, block: b.title, detail: detail, hint: `write one of http = "/healthz", tcp = true, grpc = "", exec = "bin/ping"; check may be repeated`})
		return c
	}
	c.Kind = kinds[0]
	d.checkKind(c, s, service, b, unsure)
	d.checkListen(c, s, service, b)
	return c
}

func (d *decoder) checkKind(c *Check, s *Service, service, b *block, unsure bool) {
	switch c.Kind {
	case "http":
		c.HTTP = d.text(b, "http", "")
		it, ok := d.item(b, "http")
		if ok && it.value.Type() == cty.String && (!strings.HasPrefix(c.HTTP, "/") || strings.ContainsAny(c.HTTP, " \t\r\n#")) {
			d.wrong(it, fmt.Sprintf("%q is not an absolute path.", c.HTTP), `http = "/healthz"`)
		}
	case "tcp":
		if it, ok := d.item(b, "tcp"); ok && (it.value.Type() != cty.Bool || it.value.False()) {
			d.wrong(it, `"tcp" is true, or left out.`, "tcp = true")
		}
	case "grpc":
		c.GRPC = d.text(b, "grpc", "")
	case "exec":
		c.Exec = d.command(b, "exec", s, unsure)
		absolute := c.Exec != nil && strings.HasPrefix(c.Exec.Words[0][0].Text, "/")
		if service.has("unit") && !service.meant("package") && !b.meant("package") && c.Exec != nil && !absolute {
			d.add(problem{code: "NM0312", rng: b.attrs["exec"].key, block: b.title,
				detail: "The service is a unit, so nothing says which package the program is of.", hint: `add package = "ATTR" to the check`})
		}
	}
}

// checkListen holds the listen that a check goes to.
func (d *decoder) checkListen(c *Check, s *Service, service, b *block) {
	if service.refused["listen"] {
		return
	}
	if c.Kind != "exec" && len(s.Listens) == 0 {
		d.add(problem{code: "NM0312", rng: b.attrs[c.Kind].key, block: b.title,
			detail: fmt.Sprintf("A check by %s needs a port, and the service has no listen.", c.Kind), hint: `add listen "http" {}`})
		return
	}
	c.Listen = d.text(b, "listen", "")
	if c.Listen == "" {
		return
	}
	var names []string
	for _, l := range s.Listens {
		if l.Name != "" {
			names = append(names, l.Name)
		}
	}
	if !slices.Contains(names, c.Listen) {
		hint := didYouMean(c.Listen, names, "the listens are")
		if hint == "" {
			hint = "no listen of this service has a name; leave listen out for the first"
		}
		d.add(problem{code: "NM0209", rng: b.attrs["listen"].expr.Range(), block: b.title,
			detail: fmt.Sprintf("The service has no listen named %q.", c.Listen), hint: hint})
	}
}

// checkService holds the rules over one service's arguments.
func (d *decoder) checkService(s *Service, b *block) {
	hasPackage, hasUnit := b.meant("package"), b.meant("unit")
	if b.refused["version"] {
		return // package, unit and exec may stand in what was refused
	}
	switch {
	case hasPackage && hasUnit:
		if !b.has("package") || !b.has("unit") {
			break // one of them is a typo, which was reported
		}
		d.add(problem{code: "NM0301", rng: lower(b.attrs["package"].key, b.attrs["unit"].key), block: b.title,
			detail: "A service is a package or a unit, not both.", hint: "keep one: package for a program of yours, unit for what a NixOS module runs"})
	case !hasPackage && !hasUnit:
		d.add(problem{code: "NM0301", rng: b.header, block: b.title, detail: "Nothing says what the service runs.",
			hint: `add package = "ATTR" with exec, or unit = "NAME.service"`})
	case b.has("package") && !b.meant("exec"):
		d.add(problem{code: "NM0302", rng: b.attrs["package"].key, block: b.title, detail: "The package has no command.", hint: `add exec = "bin/` + b.label + `"`})
	case hasUnit && b.has("exec"):
		d.add(problem{code: "NM0302", rng: b.attrs["exec"].key, block: b.title, detail: "The unit has its own command.", hint: "delete exec, or use package in place of unit"})
	}
	if b.has("user") && !hasUnit {
		d.add(problem{code: "NM0318", rng: b.attrs["user"].key, block: b.title, detail: "Users of packages are made by nixmesh.",
			hint: "delete it: the service runs as nm-" + b.label})
	}
	if hasPackage && !hasUnit && isReserved(b.label) {
		d.add(problem{code: "NM0208", rng: b.name, block: b.title, detail: fmt.Sprintf("%s.service belongs to NixOS or nixmesh.", b.label),
			hint: reservedHint(b.label)})
	}
	d.checkListens(s, b)
	if len(s.Checks) == 0 && !b.refused["check"] {
		hint := "add check { tcp = true }"
		if len(s.Listens) == 0 {
			hint = `add check { exec = "bin/ping" }`
		}
		d.add(problem{code: "NM0311", rng: b.header, block: b.title, detail: "A deploy cannot tell a healthy instance from a started one.", hint: hint})
	}
	d.checkMinHealthy(s, b.one("rollout"))
}

func reservedHint(name string) string {
	if strings.HasPrefix(name, "nixmesh") || name == "envoy" {
		return "use another name"
	}
	return fmt.Sprintf("use another name, or unit = %q for the one that NixOS runs", name+".service")
}

// checkListens holds the rules over a service's listens (NM0317, NM0107).
func (d *decoder) checkListens(s *Service, b *block) {
	blocks := b.all("listen")
	first := map[string]*block{}
	for i, l := range s.Listens {
		lb := blocks[i]
		needs := ""
		switch {
		case lb.meant("port"):
		case b.has("unit"):
			needs = "nixmesh does not tell a unit which port to take"
		case l.Protocol == "tcp" || l.Protocol == "redis":
			needs = "callers of " + l.Protocol + " name the port"
		}
		if needs != "" {
			d.add(problem{code: "NM0317", rng: lb.header, block: b.title, detail: "The listen needs a port: " + needs + ".", hint: "add port = 5432"})
		}
		if lb.has("name") && l.Name == "" {
			continue // reported as no name
		}
		other := first[l.Name]
		switch {
		case other == nil:
			first[l.Name] = lb
		case l.Name == "":
			d.add(problem{code: "NM0317", rng: lb.header, block: b.title,
				detail: fmt.Sprintf("There is a listen without name at %s already.", at(other.header)), hint: `with several, each has a name: name = "admin"`})
		default:
			d.add(problem{code: "NM0107", rng: lb.attrs["name"].expr.Range(), block: b.title,
				detail: fmt.Sprintf("There is a listen %q at %s already.", l.Name, at(other.header)), hint: "give it another name"})
		}
	}
}

// checkMinHealthy refuses a number that lets no instance stop (NM0507).
func (d *decoder) checkMinHealthy(s *Service, b *block) {
	if b.has("min_healthy") && len(s.On) > 0 && s.Rollout.MinHealthy >= len(s.On) {
		d.add(problem{code: "NM0507", rng: b.attrs["min_healthy"].expr.Range(), block: b.title,
			detail: fmt.Sprintf("The service has %d instance(s): with %d to stay healthy, none could ever restart.", len(s.On), s.Rollout.MinHealthy),
			hint:   fmt.Sprintf("min_healthy is at most %d", len(s.On)-1)})
	}
}

// lower is the one of two places that stands further down.
func lower(a, b hcl.Range) hcl.Range {
	if a.Start.Byte > b.Start.Byte {
		return a
	}
	return b
}
