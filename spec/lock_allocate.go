package spec

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// Allocate gives a number to what has none, in order of names, the lowest that
// is neither used nor gone; a name that comes back gets its old one. What the
// fleet needs no more is marked gone. Entries that stay are never changed. In a
// lab only what is missing is added, since its overrides say nothing about what
// the spec still needs.
//
// Changed is also true of a file that says the same in another order. The
// diagnostics are NM0704, a range is used up, and those of Stray.
func (l *Lock) Allocate(f *Fleet) (changed bool, d Diagnostics) {
	s := &sink{found: l.Stray(f)}
	need := wants(f)
	changed = l.untidy
	if !f.Lab && l.mark(need) > 0 {
		changed = true
	}
	free, full := map[string]*freeNumbers{}, map[string]bool{}
	for _, w := range need {
		if l.number(w.kind, w.name) != 0 || full[w.kind] {
			continue
		}
		if free[w.kind] == nil {
			free[w.kind] = freeOf(w.kind, l.entries)
		}
		n, ok := free[w.kind].take()
		if !ok {
			full[w.kind] = true
			s.usedUp(w, slices.ContainsFunc(l.entries, func(e lockEntry) bool { return e.gone && e.kind == w.kind }))
			continue
		}
		l.add(lockEntry{lockName: w.lockName, number: n})
		changed = true
	}
	return changed, s.found
}

// mark brings each entry's gone in line with what is needed, and counts the
// changes.
func (l *Lock) mark(need []wanted) int {
	needed, changes := map[lockName]bool{}, 0
	for _, w := range need {
		needed[w.lockName] = true
	}
	for i, e := range l.entries {
		if e.gone == needed[e.lockName] {
			l.entries[i].gone = !e.gone
			changes++
		}
	}
	return changes
}

func (s *sink) usedUp(w wanted, gone bool) {
	from, to := lockRange(w.kind)
	hint := "give listens a fixed port, or split the fleet"
	if w.kind != kindPort {
		hint = "split the fleet"
	}
	if gone {
		hint = "nixmesh lock --prune frees what is gone"
	}
	s.add(problem{code: "NM0704", rng: placeRange(w.place), block: w.place.Block,
		detail: fmt.Sprintf("No %s from %s to %s is free for %s.", w.kind, numberText(w.kind, from), numberText(w.kind, to), w.name), hint: hint})
}

// placeRange is the line of a place.
func placeRange(p Place) hcl.Range {
	start := hcl.Pos{Line: p.Line, Column: 1}
	return hcl.Range{Filename: p.File, Start: start, End: start}
}

// freeNumbers gives the numbers of a kind that no entry has, the lowest first.
type freeNumbers struct {
	kind string
	used map[int]bool // gone ones included
	next int          // nothing below is free
}

func freeOf(kind string, entries []lockEntry) *freeNumbers {
	from, _ := lockRange(kind)
	n := &freeNumbers{kind: kind, used: map[int]bool{}, next: from}
	for _, e := range entries {
		if e.kind == kind {
			n.used[e.number] = true
		}
	}
	return n
}

// take gives the next number; false = none is left.
func (n *freeNumbers) take() (int, bool) {
	_, to := lockRange(n.kind)
	for ; n.next <= to; n.next++ {
		if !n.used[n.next] && usable(n.kind, n.next) {
			n.next++
			return n.next - 1, true
		}
	}
	return 0, false
}

// Prune forgets what is gone, and says how many entries that were.
func (l *Lock) Prune() int {
	kept := slices.DeleteFunc(slices.Clone(l.entries), func(e lockEntry) bool { return e.gone })
	pruned := len(l.entries) - len(kept)
	l.entries, l.index = nil, nil
	for _, e := range kept {
		l.add(e)
	}
	return pruned
}
