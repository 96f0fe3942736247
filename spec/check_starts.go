package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// checkStartAfter holds the start order: it is among services of the same host,
// and goes in no circle (NM0315).
func (d *decoder) checkStartAfter(p *pairs) {
	for i, s := range p.f.Services {
		if len(s.StartAfter) == 0 {
			continue
		}
		for _, it := range d.items(p.services[i], "start_after") {
			if name, ok := plain(it.value).(string); ok && !isTarget(name) {
				d.checkStart(p, s, it, name)
			}
		}
	}
	d.checkStartCircles(p)
}

// checkStart holds one entry.
func (d *decoder) checkStart(p *pairs, s *Service, it item, name string) {
	other, _ := p.service(name)
	bad := problem{code: "NM0315", rng: it.rng, block: it.a.title}
	switch {
	case other == nil && p.top.refused["service"]:
		return
	case other == nil:
		var names []string
		for _, o := range p.f.Services {
			names = append(names, o.Name)
			if o.Unit == name {
				bad.hint = fmt.Sprintf("write %q, the service that this unit is", o.Name)
			}
		}
		bad.detail = fmt.Sprintf("%q is no service of the fleet, and no target.", name)
		if bad.hint == "" {
			bad.hint = didYouMean(name, names, `write a target ("network-online.target") or a service; there are`)
		}
	case other == s:
		bad.detail, bad.hint = "A service cannot start after itself.", "delete the entry"
	default:
		var without []string
		for _, host := range s.On {
			if _, there := slices.BinarySearch(other.On, host); !there {
				without = append(without, host)
			}
		}
		if without == nil || len(other.On) == 0 {
			return
		}
		bad.detail = fmt.Sprintf("%q does not run on %s, and a start order is within one host.", name, strings.Join(without, ", "))
		bad.hint = fmt.Sprintf("across hosts, use upstream %q {} and let retries bridge the start", name)
	}
	d.add(bad)
}

// checkStartCircles tells each circle once, at the entry that closes it.
func (d *decoder) checkStartCircles(p *pairs) {
	done := map[string]bool{}
	var walk func(s *Service, path []string)
	walk = func(s *Service, path []string) {
		path = append(path, s.Name)
		for _, after := range s.StartAfter {
			next, _ := p.service(after.Service)
			if next == nil || next == s || done[next.Name] {
				continue
			}
			if at := slices.Index(path, next.Name); at >= 0 {
				_, b := p.service(s.Name)
				d.add(problem{code: "NM0315", rng: d.startEntry(b, after), block: b.title,
					detail: "The start order goes in a circle: " + strings.Join(append(slices.Clone(path[at:]), next.Name), " after ") + ".", hint: "delete one of the entries"})
				continue
			}
			walk(next, path)
		}
		done[s.Name] = true
	}
	for _, s := range p.f.Services {
		if !done[s.Name] {
			walk(s, nil)
		}
	}
}

// startEntry is the place of an entry of start_after.
func (d *decoder) startEntry(b *block, after After) hcl.Range {
	for _, it := range d.items(b, "start_after") {
		if plain(it.value) == after.Service {
			return it.rng
		}
	}
	return b.attrs["start_after"].expr.Range()
}
