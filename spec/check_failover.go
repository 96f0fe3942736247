package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// checkFailovers holds where the calls of one service go when too few instances
// are healthy (NM0409).
func (d *decoder) checkFailovers(p *pairs, s *Service, b *block) {
	blocks := b.all("upstream")
	next := map[string][]string{} // upstream -> those after it, which are right
	for i, u := range s.Upstreams {
		fb := blocks[i].one("failover")
		for _, it := range d.entriesOf(fb, "to") {
			if name := it.value.AsString(); d.checkFailover(p, s, b, u, it) {
				next[u.Name] = append(next[u.Name], name)
			}
		}
	}
	for _, circle := range circles(next) {
		i := slices.IndexFunc(s.Upstreams, func(u *Upstream) bool { return u.Name == circle[0] })
		d.add(problem{code: "NM0409", rng: blocks[i].one("failover").attrs["to"].expr.Range(), block: b.title,
			detail: fmt.Sprintf("Failover goes in a circle: %s -> %s.", strings.Join(circle, " -> "), circle[0]), hint: "take one of them out"})
	}
}

// checkFailover holds one entry of failover.to.
func (d *decoder) checkFailover(p *pairs, s *Service, b *block, u *Upstream, it item) bool {
	name := it.value.AsString()
	add := func(detail, hint string) bool {
		d.add(problem{code: "NM0409", rng: it.rng, block: b.title, detail: detail, hint: hint})
		return false
	}
	target, _ := p.service(name)
	external, _ := p.external(name)
	i := slices.IndexFunc(s.Upstreams, func(o *Upstream) bool { return o.Name == name })
	switch {
	case name == u.Name:
		return add(fmt.Sprintf("%q cannot stand in for itself.", name), "other instances of it are tried anyway; name another service")
	case name == s.Name:
		return add("A service is no upstream of its own.", "name another service")
	case external != nil:
		return add(fmt.Sprintf("%q is an external; failover goes to services.", name), "name a service of the same protocol")
	case target == nil:
		return d.unknownUpstream(p, problem{rng: it.rng, block: b.title}, s.Name, name, u.Name)
	case i < 0 && b.refused["upstream"]:
		return false
	case i < 0:
		return add(fmt.Sprintf("%s may not call %q: failover gives no permission.", s.Name, name), fmt.Sprintf("add upstream %q {}", name))
	}
	from, to := p.protocol(u), p.protocol(s.Upstreams[i])
	if from != "" && to != "" && from != to {
		return add(fmt.Sprintf("%q speaks %s, and %q speaks %s.", u.Name, from, name, to), "name a service of the same protocol")
	}
	return true
}

// circles are ways from a name back to itself, each without its end and from its
// lowest name on. Every name is walked once, so of circles that share a part some
// are left for when the others are mended.
func circles(next map[string][]string) [][]string {
	var found [][]string
	var path []string
	at := map[string]int{} // in path, from 1; -1 = was walked
	var walk func(name string)
	walk = func(name string) {
		path = append(path, name)
		at[name] = len(path)
		for _, n := range next[name] {
			switch {
			case at[n] > 0:
				circle := path[at[n]-1:]
				low := slices.Index(circle, slices.Min(circle))
				found = append(found, slices.Concat(circle[low:], circle[:low]))
			case at[n] == 0:
				walk(n)
			}
		}
		path = path[:len(path)-1]
		at[name] = -1
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		if at[name] == 0 {
			walk(name)
		}
	}
	return found
}
