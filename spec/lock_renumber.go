package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Renumber gives one entry, "KIND NAME", another number: the lowest free one. Of
// a name with two numbers (after a merge) it keeps the lowest that nothing else
// has. It is the way out of NM0702 and NM0703, so it works on a lock that
// ReadLock refuses for such conflicts alone; any other fault is returned. Other
// conflicts stay in the lock as they are.
func Renumber(dir, kindName string) (*Lock, Diagnostics, error) {
	text, err := ReadLockText(dir)
	if err != nil {
		return nil, nil, err
	}
	return renumber(text, kindName)
}

func renumber(text []byte, kindName string) (*Lock, Diagnostics, error) {
	p := parseLockLines(text)
	if len(p.found) > 0 {
		return nil, p.found, nil
	}
	l := &Lock{keys: p.keys, authorities: p.authorities, ca: p.ca, untidy: true}
	kind, name, _ := strings.Cut(kindName, " ")
	var same, others []lockEntry
	for _, e := range p.entries {
		if e.lockName == (lockName{kind, name}) {
			same = append(same, e.lockEntry)
		} else {
			others = append(others, e.lockEntry)
		}
	}
	if len(same) == 0 {
		return nil, nil, unknownEntry(kindName, others)
	}
	n, ok := newNumber(kind, same, others)
	if !ok {
		return nil, nil, fmt.Errorf("renumber %s: no number is free: nixmesh lock --prune", kindName)
	}
	gone := !slices.ContainsFunc(same, func(e lockEntry) bool { return !e.gone })
	for _, e := range append(others, lockEntry{lockName{kind, name}, n, gone}) {
		l.add(e)
	}
	return l, nil, nil
}

// newNumber is the number of an entry that has to move, or had several.
func newNumber(kind string, same, others []lockEntry) (int, bool) {
	free := freeOf(kind, others)
	numbers := make([]int, 0, len(same))
	for _, e := range same {
		numbers = append(numbers, e.number)
	}
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	if len(numbers) > 1 {
		for _, n := range numbers {
			if !free.used[n] {
				return n, true
			}
		}
	}
	free.used[numbers[0]] = true // never the same again
	return free.take()
}

func unknownEntry(kindName string, entries []lockEntry) error {
	var known []string
	for _, e := range entries {
		known = append(known, e.String())
	}
	hint := "; nixmesh.lock has them all"
	if n := nearest(kindName, known); n != "" {
		hint = fmt.Sprintf("; did you mean %q?", n)
	}
	return fmt.Errorf("renumber: the lock has no entry %q%s", kindName, hint)
}
