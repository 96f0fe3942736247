package mesh

import (
	"fmt"
	"slices"
	"strings"
)

// Between says what of the live configuration does not work for some time of a deploy
// of the next one, for people: what their Union cannot bridge. A line each, sorted by
// service.
func Between(live, next *Config) []string {
	var lines []string
	for _, name := range keys(live.Services) {
		l, n := live.Services[name], next.Services[name]
		if n == nil || len(l.Listens) == 0 || len(n.Listens) == 0 {
			continue
		}
		if line := versionsBetween(name, l, n); line != "" {
			lines = append(lines, line)
		}
		lines = append(lines, protocolsBetween(name, l, n)...)
	}
	return lines
}

// versionsBetween tells of calls to versions that the next configuration does not have:
// they go there until it is in force.
func versionsBetween(name string, live, next *Service) string {
	split := live.Split
	if len(split) == 0 {
		split = map[string]Percent{live.Versions[0].Name: 100}
	}
	var gone []string
	lost := Percent(0)
	for _, version := range keys(split) {
		if split[version] > 0 && next.Version(version) == nil {
			gone, lost = append(gone, version), lost+split[version]
		}
	}
	if len(gone) == 0 {
		return ""
	}
	what := "version " + strings.Join(gone, " and ")
	end := fmt.Sprintf("; keep %s for one deploy", strings.Join(gone, " and "))
	switch {
	case gone[0] == "":
		what, end = "what has no version", ""
	case next.Versions[0].Name == "":
		end = ""
	}
	return fmt.Sprintf("%s: %v %% of the calls fail from when its last host is switched until every host runs this release: they go to %s until then%s", name, lost, what, end)
}

// protocolsBetween tells of listens whose calls can only be passed on by hosts that run
// what the configuration in force says.
func protocolsBetween(name string, live, next *Service) []string {
	var lines []string
	for _, l := range live.Listens {
		i := slices.IndexFunc(next.Listens, func(n Listen) bool { return n.Name == l.Name })
		if i < 0 && (l.Name == "" || next.Listens[0].Name == "" && l.Name == live.Listens[0].Name) {
			i = 0 // it gets a name, or loses it
		}
		if i >= 0 && isHTTP(l.Protocol) != isHTTP(next.Listens[i].Protocol) {
			lines = append(lines, fmt.Sprintf("%s: a host that is switched takes no calls until every host runs this release, since it speaks %s then and not %s; give that a listen of its own for one deploy",
				EdgeName(name, l.Name), next.Listens[i].Protocol, l.Protocol))
		}
	}
	return lines
}
