package spec

import (
	"fmt"
	"slices"
)

// checkUsers refuses two services with one user on a host where either of them
// calls (NM0322): the kernel's table knows a caller by its user.
func (d *decoder) checkUsers(p *pairs) {
	type userOnHost struct{ host, user string }
	owners := map[userOnHost]int{} // in services
	named := map[string]bool{}     // by user = "…"
	for _, s := range p.f.Services {
		named[s.User] = s.User != ""
	}
	for i, s := range p.f.Services {
		user := "nm-" + s.Name
		if runsUnits(p.services[i]) || !named[user] {
			continue
		}
		for _, host := range runsOn(s) {
			owners[userOnHost{host, user}] = i
		}
	}
	for i, s := range p.f.Services {
		b := p.services[i]
		if s.User == "" || !runsUnits(b) { // NM0318
			continue
		}
		for _, host := range runsOn(s) {
			first, taken := owners[userOnHost{host, s.User}]
			if !taken {
				owners[userOnHost{host, s.User}] = i
				continue
			}
			other, place := p.f.Services[first], p.services[first].header
			if len(s.Upstreams) == 0 && len(other.Upstreams) == 0 {
				continue
			}
			if other.User != "" {
				place = p.services[first].attrs["user"].expr.Range()
			}
			d.add(problem{code: "NM0322", rng: b.attrs["user"].expr.Range(), block: b.title,
				detail: fmt.Sprintf("On %s, %s is the user of %s already, at %s: the calls of one would be the other's.", host, s.User, p.services[first].title, at(place)),
				hint:   fmt.Sprintf("give each a user of its own: user = %q", s.Name)})
			break
		}
	}
}

// runsOn are the hosts that run a version of a service, sorted.
func runsOn(s *Service) []string {
	var hosts []string
	for _, v := range s.Variants() {
		hosts = append(hosts, v.On...)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
