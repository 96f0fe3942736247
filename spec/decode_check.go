package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// check decodes one check of a service and holds its rules (NM0312, NM0209).
func (d *decoder) check(f *Fleet, s *Service, service, b *block, names commandNames) *Check {
	c := &Check{
		Place:   b.place(),
		Every:   d.duration(b, "every"),
		Timeout: d.duration(b, "timeout"),
		Rise:    d.whole(b, "rise"),
		Fall:    d.whole(b, "fall"),
		After:   d.duration(b, "after"),
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
	if c.Kind != "exec" && b.has("package") {
		d.add(problem{code: "NM0312", rng: b.attrs["package"].key, block: b.title, detail: fmt.Sprintf("A check by %s runs no program, so package would do nothing.", c.Kind), hint: "delete package"})
	}
	d.checkKind(c, service, b, names)
	d.checkListen(c, s, service, b)
	return c
}

func (d *decoder) checkKind(c *Check, service, b *block, names commandNames) {
	switch c.Kind {
	case "http":
		c.HTTP = d.text(b, "http")
		it, ok := d.item(b, "http")
		if ok && it.value.Type() == cty.String && (!strings.HasPrefix(c.HTTP, "/") || strings.ContainsAny(c.HTTP, " \t\r\n#")) {
			d.wrong(it, fmt.Sprintf("%q is not an absolute path.", c.HTTP), `http = "/healthz"`)
		}
	case "tcp":
		if it, ok := d.item(b, "tcp"); ok && (it.value.Type() != cty.Bool || it.value.False()) {
			d.wrong(it, `"tcp" is true, or left out.`, "tcp = true")
		}
	case "grpc":
		c.GRPC = d.text(b, "grpc")
	case "exec":
		c.Exec = d.command(b, "exec", names)
		absolute := c.Exec != nil && strings.HasPrefix(c.Exec.Words[0][0].Text, "/")
		if runsUnits(service) && !service.meant("package") && !b.meant("package") && c.Exec != nil && !absolute {
			d.add(problem{code: "NM0312", rng: b.attrs["exec"].key, block: b.title,
				detail: "The service is a unit, so nothing says which package the program is of.", hint: `add package = "ATTR" to the check`})
		}
	}
}

// checkListen holds the listen that a check goes to.
func (d *decoder) checkListen(c *Check, s *Service, service, b *block) {
	if service.refused["listen"] || unnamed(service) {
		return
	}
	if c.Kind != "exec" && len(s.Listens) == 0 {
		hint := `add listen "http" {}`
		if service.meant("schedule") { // a job has none: NM0314
			hint = `exec = "bin/ping", or delete the check`
		}
		d.add(problem{code: "NM0312", rng: b.attrs[c.Kind].key, block: b.title,
			detail: fmt.Sprintf("A check by %s needs a port, and the service has no listen.", c.Kind), hint: hint})
		return
	}
	c.Listen = d.text(b, "listen")
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
