package spec

import "fmt"

// conflicts reports what lines say against each other after a merge: one number
// for two names (NM0702), two numbers for one name (NM0703). The command of each
// hint mends it. A name that is gone on one side only, with one number, is no
// conflict: the fleet decides.
func (p *lockParser) conflicts() {
	if p.unmerged {
		return // most of it would be told twice
	}
	type number struct {
		kind   string
		number int
	}
	named, holders := map[lockName]placedEntry{}, map[number]placedEntry{}
	for _, e := range p.entries {
		first, twice := named[e.lockName]
		switch {
		case twice && first.number != e.number:
			low, high := numberText(e.kind, min(first.number, e.number)), numberText(e.kind, max(first.number, e.number))
			p.add(problem{code: "NM0703", rng: e.rng,
				detail: fmt.Sprintf("Line %d, %q, gives %s another number.", first.rng.Start.Line, first.text, e.lockName),
				hint:   fmt.Sprintf("%s keeps %s; if hosts run with %s, delete the line of %s instead", renumberCommand(e.lockName), low, high, low)})
			continue
		case twice:
			continue
		}
		named[e.lockName] = e
		key := number{e.kind, e.number}
		holder, taken := holders[key]
		if !taken {
			holders[key] = e
			continue
		}
		move := e
		if holder.gone && !e.gone {
			move, holders[key] = holder, e
		}
		p.add(problem{code: "NM0702", rng: e.rng,
			detail: fmt.Sprintf("Line %d, %q, has the number %s, too. One of the two has to take another, best the one that no host runs with yet.",
				holder.rng.Start.Line, holder.text, numberText(e.kind, e.number)),
			hint: renumberCommand(move.lockName)})
	}
}

func renumberCommand(n lockName) string { return fmt.Sprintf("nixmesh lock --renumber %q", n) }
