package spec

import (
	"fmt"
	"slices"
)

// Stray is NM0705: authorities of the lock that are no hosts of the fleet any
// more. A lab has authorities of its own.
func (l *Lock) Stray(f *Fleet) Diagnostics {
	s := &sink{}
	if f.Lab {
		return nil
	}
	for _, name := range l.Authorities() {
		if slices.ContainsFunc(f.Hosts, func(h *Host) bool { return h.Name == name }) {
			continue
		}
		s.add(problem{code: "NM0705", rng: l.authorities[name].rng,
			detail: fmt.Sprintf("%q may issue certificates, and the fleet has no such host.", name), hint: fmt.Sprintf("nixmesh ca authority remove %s, or put the host back", name)})
	}
	return s.found
}

// Stale is NM0701 where Allocate would change the lock: one diagnostic, at the
// first place that needs an entry.
func (l *Lock) Stale(f *Fleet) Diagnostics {
	var missing []wanted
	after := &Lock{entries: slices.Clone(l.entries), index: l.index}
	need := wants(f)
	for _, w := range need {
		if l.number(w.kind, w.name) == 0 {
			missing = append(missing, w)
		}
	}
	marks := 0
	if !f.Lab {
		marks = after.mark(need)
	}
	if len(missing)+marks == 0 && !l.untidy {
		return nil
	}
	s := &sink{}
	p := problem{code: "NM0701", rng: fileStart(LockFile), hint: "nixmesh lock, then commit nixmesh.lock",
		detail: "Its lines would be sorted and written anew."}
	if marks > 0 {
		p.detail = fmt.Sprintf("The fleet does not need all of its entries any more, or needs gone ones again: %d would change.", marks)
	}
	if len(missing) > 0 {
		p.rng, p.block = placeRange(missing[0].place), missing[0].place.Block
		p.detail = fmt.Sprintf("nixmesh.lock has no entry %q yet.", missing[0].lockName)
		if n := len(missing) - 1; n > 0 {
			p.detail = fmt.Sprintf("nixmesh.lock has no entry %q yet; %d more are missing.", missing[0].lockName, n)
		}
	}
	s.add(p)
	return s.found
}
