package deploy

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/remote"
)

// UnitChanges is what a switch would do to units.
type UnitChanges struct {
	Start   []string `json:"start,omitempty"`
	Restart []string `json:"restart,omitempty"`
	Reload  []string `json:"reload,omitempty"`
	Stop    []string `json:"stop,omitempty"`
	// Unseen units changed and stay as they are until their next start.
	Unseen []string `json:"unseen,omitempty"`
}

// Empty says whether no unit is touched.
func (u UnitChanges) Empty() bool {
	return len(u.Start)+len(u.Restart)+len(u.Reload)+len(u.Stop) == 0
}

// unitFile is a parsed unit with its drop-ins: section -> key -> values.
type unitFile map[string]map[string][]string

// shell runs a line on a machine that has the store path in question.
type shell func(ctx context.Context, line string) ([]byte, error)

// readUnits reads all units of a toplevel with one process: each line as
// "./FILE", NUL, text.
func readUnits(ctx context.Context, sh shell, toplevel string) (map[string]unitFile, error) {
	dir := toplevel + "/etc/systemd/system/"
	out, err := sh(ctx, "cd "+remote.Quote(dir)+" && { grep -RZ -H '' . 2>/dev/null; true; }")
	if err != nil {
		return nil, fmt.Errorf("read units of %s: %w", toplevel, err)
	}
	return parseUnits(out), nil
}

func parseUnits(out []byte) map[string]unitFile {
	units := map[string]unitFile{}
	sections := map[string]string{}
	links := map[[2]string]bool{}
	for line := range bytes.Lines(out) {
		file, text, ok := bytes.Cut(bytes.TrimRight(line, "\n"), []byte{0})
		if !ok {
			continue
		}
		name := unitOf(string(file))
		if name == "" {
			if from, to, ok := requirement(string(file)); ok {
				links[[2]string{from, to}] = true
			}
			continue
		}
		if units[name] == nil {
			units[name] = unitFile{}
		}
		t := strings.TrimSpace(string(text))
		if t == "" || t[0] == '#' || t[0] == ';' {
			continue
		}
		if t[0] == '[' {
			sections[string(file)] = strings.Trim(t, "[]")
			continue
		}
		key, value, _ := strings.Cut(t, "=")
		section := sections[string(file)]
		if units[name][section] == nil {
			units[name][section] = map[string][]string{}
		}
		key = strings.TrimSpace(key)
		units[name][section][key] = append(units[name][section][key], strings.TrimSpace(value))
	}
	for link := range links {
		if u := units[link[0]]; u != nil {
			if u[linked] == nil {
				u[linked] = map[string][]string{}
			}
			u[linked][link[1]] = nil
		}
	}
	return units
}

// linked is a section of our own: what a unit requires by links beside it. A
// switch does not compare those.
const linked = "\x00requires"

// requirement is what a link in a folder UNIT.requires says.
func requirement(file string) (from, to string, ok bool) {
	dir, to, _ := strings.Cut(strings.TrimPrefix(file, "./"), "/")
	from, ok = strings.CutSuffix(dir, ".requires")
	return from, to, ok && to != ""
}

// unitOf gives the unit that a file below etc/systemd/system describes: a drop-in
// counts for its unit, links of .wants and .requires are none.
func unitOf(file string) string {
	parts := strings.Split(strings.TrimPrefix(file, "./"), "/")
	switch {
	case len(parts) == 1 && strings.Contains(parts[0], "."):
		return parts[0]
	case len(parts) == 2 && strings.HasSuffix(parts[0], ".d"):
		return strings.TrimSuffix(parts[0], ".d")
	}
	return ""
}

// ignoredKeys of [Unit] never cause a restart; NixOS's switch has this list.
var ignoredKeys = []string{"Description", "Documentation", "OnFailure", "OnSuccess", "OnFailureJobMode", "IgnoreOnIsolate",
	"StopWhenUnneeded", "RefuseManualStart", "RefuseManualStop", "AllowIsolate", "CollectMode", "SourcePath"}

// diffUnits says what the switch from old to new does, by the rules of NixOS's
// switch-to-configuration. It cannot know which units run: an inactive one that
// changed is told as a restart.
func diffUnits(old, new map[string]unitFile) UnitChanges {
	var c UnitChanges
	for _, name := range slices.Sorted(maps.Keys(new)) {
		o, known := old[name]
		if !known {
			if startable(name, new[name]) {
				c.Start = append(c.Start, name)
			}
			continue
		}
		switch changeOf(name, o, new[name]) {
		case "restart":
			c.Restart = append(c.Restart, name)
		case "reload":
			c.Reload = append(c.Reload, name)
		case "unseen":
			c.Unseen = append(c.Unseen, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if _, still := new[name]; !still && startable(name, old[name]) && isSet(old[name], "Unit", "X-StopOnRemoval", true) {
			c.Stop = append(c.Stop, name)
		}
	}
	c.restartDependants(old, new)
	return c
}

// restartDependants adds what systemd stops with the units that go, though it is
// the same in both systems: what requires them (systemd.unit(5), Requires=).
func (c *UnitChanges) restartDependants(old, new map[string]unitFile) {
	stopped := slices.Clone(c.Stop)
	for i := 0; i < len(stopped); i++ {
		for _, name := range slices.Sorted(maps.Keys(old)) {
			if slices.Contains(stopped, name) || !old[name].requires(stopped[i]) || !startable(name, old[name]) {
				continue
			}
			stopped = append(stopped, name)
			if _, still := new[name]; still && !slices.Contains(c.Restart, name) {
				c.Restart = append(c.Restart, name)
			}
		}
	}
	slices.Sort(c.Restart)
	restarts := func(name string) bool { return slices.Contains(c.Restart, name) }
	c.Reload, c.Unseen = slices.DeleteFunc(c.Reload, restarts), slices.DeleteFunc(c.Unseen, restarts)
}

// requires says whether the unit is stopped where another one is.
func (u unitFile) requires(other string) bool {
	if _, ok := u[linked][other]; ok {
		return true
	}
	for _, key := range []string{"Requires", "Requisite", "BindsTo", "PartOf"} {
		for _, line := range u["Unit"][key] {
			if slices.Contains(strings.Fields(line), other) {
				return true
			}
		}
	}
	return false
}

// changeOf is "", "restart", "reload" or "unseen".
func changeOf(name string, o, n unitFile) string {
	if sameUnit(o, n) {
		return ""
	}
	suffix := name[strings.LastIndexByte(name, '.'):]
	switch {
	case slices.Contains([]string{".path", ".slice", ".socket"}, suffix):
		return "unseen"
	case suffix == ".target" || suffix == ".device":
		return ""
	case name == "-.mount" || name == "nix.mount" || onlyReloads(o, n):
		return "reload"
	case isSet(n, "Unit", "X-ReloadIfChanged", false) || isSet(n, "Service", "X-ReloadIfChanged", false):
		return "reload"
	case !isSet(n, "Unit", "X-RestartIfChanged", true) || !isSet(n, "Service", "X-RestartIfChanged", true),
		isSet(n, "Unit", "RefuseManualStop", false), isSet(n, "Unit", "X-OnlyManualStart", false):
		return "unseen"
	}
	return "restart"
}

// startable says whether a unit that appears or goes is worth a line: templates
// are nothing by themselves.
func startable(name string, u unitFile) bool {
	return !strings.Contains(name, "@.") && !isSet(u, "Unit", "X-OnlyManualStart", false) &&
		(strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".timer") || strings.HasSuffix(name, ".socket") || strings.HasSuffix(name, ".mount"))
}

func isSet(u unitFile, section, key string, def bool) bool {
	v := u[section][key]
	if len(v) == 0 {
		return def
	}
	switch strings.ToLower(v[len(v)-1]) {
	case "1", "yes", "true", "on":
		return true
	}
	return false
}

// sameUnit compares without what NixOS's switch ignores.
func sameUnit(o, n unitFile) bool { return len(differing(o, n)) == 0 }

// onlyReloads says whether all differences are such that a reload does.
func onlyReloads(o, n unitFile) bool {
	for _, k := range differing(o, n) {
		if k != "Unit/X-Reload-Triggers" && k != "Service/ExecReload" && k != "Mount/Options" {
			return false
		}
	}
	return true
}

// differing lists "Section/Key" of every difference that counts.
func differing(o, n unitFile) []string {
	var keys []string
	sections := map[string]bool{}
	for s := range o {
		sections[s] = true
	}
	for s := range n {
		sections[s] = true
	}
	for s := range sections {
		if s == "Install" || s == linked {
			continue
		}
		all := map[string]bool{}
		for k := range o[s] {
			all[k] = true
		}
		for k := range n[s] {
			all[k] = true
		}
		for k := range all {
			if s == "Unit" && slices.Contains(ignoredKeys, k) || slices.Equal(o[s][k], n[s][k]) {
				continue
			}
			keys = append(keys, s+"/"+k)
		}
	}
	slices.Sort(keys)
	return keys
}
