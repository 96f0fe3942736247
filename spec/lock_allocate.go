package spec

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// wanted are the numbers that a fleet needs, with the place that needs them.
type wanted struct {
	kind, name string
	place      Place
}

func wants(f *Fleet) []wanted {
	var all []wanted
	for _, s := range f.Services {
		for _, l := range s.Listens {
			if l.Port == 0 {
				all = append(all, wanted{"port", portName(s.Name, l.Name), l.Place})
			}
		}
		switch {
		case s.Package != nil:
			all = append(all, wanted{"uid", "nm-" + s.Name, s.Place})
		case s.User != "" && !slices.ContainsFunc(all, func(w wanted) bool { return w.kind == "uid" && w.name == s.User }):
			all = append(all, wanted{"uid", s.User, s.Place})
		}
	}
	slices.SortStableFunc(all, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	return all
}

// Allocate gives a number to what has none, in order of names, the lowest that
// is neither used nor gone; a name that comes back gets its old one. What the
// fleet needs no more is marked gone. Entries that stay are never changed.
// NM0704 says that a range is used up.
func (l *Lock) Allocate(f *Fleet) (changed bool, d Diagnostics) {
	s := &sink{}
	need := wants(f)
	for i, e := range l.entries {
		gone := !slices.ContainsFunc(need, func(w wanted) bool { return w.kind == e.kind && w.name == e.name })
		if e.gone != gone {
			l.entries[i].gone, changed = gone, true
		}
	}
	for _, w := range need {
		if l.number(w.kind, w.name) != 0 {
			continue
		}
		n, ok := l.free(w.kind)
		if !ok {
			from, to := lockRange(w.kind)
			start := hcl.Pos{Line: w.place.Line, Column: 1}
			s.add(problem{code: "NM0704", rng: hcl.Range{Filename: w.place.File, Start: start, End: start}, block: w.place.Block,
				detail: fmt.Sprintf("No %s from %d to %d is free for %s.", w.kind, from, to, w.name), hint: "nixmesh lock --prune frees what is gone"})
			break
		}
		l.entries = append(l.entries, lockEntry{kind: w.kind, name: w.name, number: n})
		changed = true
	}
	return changed, s.found
}

// free is the lowest number of a kind that no entry has, gone ones included.
func (l *Lock) free(kind string) (int, bool) {
	used := map[int]bool{}
	for _, e := range l.entries {
		if e.kind == kind {
			used[e.number] = true
		}
	}
	from, to := lockRange(kind)
	for n := from; n <= to; n++ {
		if !used[n] {
			return n, true
		}
	}
	return 0, false
}

// Prune forgets what is gone, and says how many entries that were.
func (l *Lock) Prune() int {
	before := len(l.entries)
	l.entries = slices.DeleteFunc(l.entries, func(e lockEntry) bool { return e.gone })
	return before - len(l.entries)
}
