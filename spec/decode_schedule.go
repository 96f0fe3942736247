package spec

import (
	"regexp"
	"strings"

	"github.com/nixmesh/nixmesh/calendar"
)

// schedule reads a systemd calendar (NM0314).
func (d *decoder) schedule(b *block) string {
	it, ok := d.item(b, "schedule")
	if !ok {
		return ""
	}
	text, ok := d.asText(it)
	if !ok {
		return ""
	}
	if err := calendar.Check(text); err != nil {
		why := err.Error()
		d.add(problem{code: "NM0314", rng: it.rng, block: b.title, detail: strings.ToUpper(why[:1]) + why[1:] + ".",
			hint: `for example schedule = "*-*-* 03:30:00", "Mon..Fri 08:00", "hourly"; systemd-analyze calendar tells when it elapses`})
		return ""
	}
	return text
}

// isTarget says whether an entry of start_after is a unit and not a service.
func isTarget(text string) bool {
	return regexp.MustCompile(`^[A-Za-z0-9:_.@\\-]+\.target$`).MatchString(text)
}
