package rollback

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// etcUnits is where a toplevel keeps its units; STC compares what is there, and
// touches no other unit.
const etcUnits = "/etc/systemd/system"

// brokenBefore says that a failure of this unit is no news about NEW: the unit
// was failed before the switch, and either nothing has started it since, or
// what was started again is what failed then (docs/adr/0005-failed-before.md).
func (h *helper) brokenBefore(j *Journal, d UnitDetail) bool {
	b, ok := j.Baseline[d.Name]
	if !ok || b.Active != "failed" {
		return false
	}
	return b.Invocation == d.Invocation || h.sameUnit(j, d.Name)
}

// sameUnit says that OLD and NEW define a unit by the same bytes: its file, its
// drop-ins, and for one that is made of a template those of the template.
// Neither defining it is the same, too: a transient unit, or a mount, which
// then is fstab's.
func (h *helper) sameUnit(j *Journal, unit string) bool {
	names := []string{unit, unit + ".d"}
	if template := templateOf(unit); template != "" {
		names = append(names, template, template+".d")
	}
	for _, n := range names {
		same := h.sameBytes
		if strings.HasSuffix(n, ".d") {
			same = h.sameDropIns
		}
		if !same(j.Old+etcUnits+"/"+n, j.New+etcUnits+"/"+n) {
			return false
		}
	}
	switch path.Ext(unit) {
	case ".mount", ".automount", ".swap":
		return h.sameBytes(j.Old+"/etc/fstab", j.New+"/etc/fstab")
	}
	return true
}

// templateOf is a@.service for a@b.service, "" for a unit of its own.
func templateOf(unit string) string {
	name, _, ok := strings.Cut(unit, "@")
	if !ok {
		return ""
	}
	return name + "@" + path.Ext(unit)
}

// sameBytes compares two files, links followed; a file that is on one side only
// differs. One that cannot be read counts as changed: that reverts.
func (h *helper) sameBytes(a, b string) bool {
	inA, inB := exists(h.Files, a), exists(h.Files, b)
	if !inA && !inB {
		return true
	}
	was, errA := h.Files.ReadFile(a)
	is, errB := h.Files.ReadFile(b)
	return inA && inB && errA == nil && errB == nil && bytes.Equal(was, is)
}

// sameDropIns compares two folders of *.conf files.
func (h *helper) sameDropIns(a, b string) bool {
	was, is := h.dropIns(a), h.dropIns(b)
	return slices.Equal(was, is) && !slices.ContainsFunc(was, func(n string) bool {
		return !h.sameBytes(a+"/"+n, b+"/"+n)
	})
}

// dropIns lists the *.conf files of a folder; none where there is no folder.
func (h *helper) dropIns(dir string) []string {
	names, err := h.Files.ReadDir(dir)
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(names, func(n string) bool { return path.Ext(n) != ".conf" })
}
