package spec

import "fmt"

// checkAccess holds what operators may reach: services that take calls (NM0418).
func (d *decoder) checkAccess(p *pairs) {
	var names []string
	for _, s := range p.f.Services {
		if len(s.Listens) > 0 {
			names = append(names, s.Name)
		}
	}
	for i, o := range p.f.Operators {
		b := p.operators[i]
		if len(o.Access) == 0 || p.top.refused["service"] {
			continue
		}
		for _, it := range d.items(b, "access") {
			name, isText := plain(it.value).(string)
			s, sb := p.service(name)
			switch {
			case !isText:
			case s == nil:
				d.add(problem{code: "NM0418", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q is no service of the fleet.", name),
					hint: didYouMean(name, names, "services that take calls")})
			case len(s.Listens) == 0 && !sb.refused["listen"]:
				d.add(problem{code: "NM0418", rng: it.rng, block: b.title, detail: fmt.Sprintf("Service %q takes no calls, so there is nothing to reach.", name),
					hint: fmt.Sprintf("add a listen to it, at %s, or delete the entry", at(sb.header))})
			}
		}
	}
}
