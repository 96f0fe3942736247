package spec

import (
	"cmp"
	"slices"
)

// mostAuthorities are proposed: two of them may be away.
const mostAuthorities = 3

// ProposeAuthorities says which hosts are best to issue the fleet's
// certificates, one to three of them. A host with a gateway, which talks to
// strangers, is none unless all have one; of the others it takes those that run
// the fewest services, and then the first by name.
func ProposeAuthorities(f *Fleet) []string {
	gateways, services := map[string]int{}, map[string]int{}
	for _, g := range f.Gateways {
		for _, host := range g.On {
			gateways[host] = 1
		}
	}
	for _, s := range f.Services {
		for _, host := range s.On {
			services[host]++
		}
	}
	var names []string
	for _, h := range f.Hosts {
		names = append(names, h.Name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(gateways[a], gateways[b]), cmp.Compare(services[a], services[b]), cmp.Compare(a, b))
	})
	inside := slices.IndexFunc(names, func(name string) bool { return gateways[name] == 1 })
	if inside > 0 {
		names = names[:inside]
	}
	names = names[:min(len(names), mostAuthorities)]
	slices.Sort(names)
	return names
}
