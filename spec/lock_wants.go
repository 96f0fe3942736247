package spec

import (
	"cmp"
	"slices"
)

// wanted is a number that a fleet needs, with the place that needs it.
type wanted struct {
	lockName
	place Place
}

// wants are the numbers that a fleet needs, each once, by kind and name.
func wants(f *Fleet) []wanted {
	var all []wanted
	want := func(kind, name string, place Place) { all = append(all, wanted{lockName{kind, name}, place}) }
	for _, s := range f.Services {
		wantPorts(s, want)
		if s.Packaged() {
			want(kindUID, "nm-"+s.Name, s.Place)
		} else if s.User != "" {
			want(kindUID, s.User, s.Place)
		}
		if len(s.Listens) > 0 {
			want(kindAddr, s.Name, s.Listens[0].Place)
		}
	}
	for _, e := range f.Edges() {
		if e.CallerKind == "service" {
			want(kindEdge, edgeName(e.Caller, e.Upstream, e.listen()), e.Place)
		}
	}
	for _, e := range f.Externals {
		want(kindAddr, e.Name, e.Place)
	}
	slices.SortStableFunc(all, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	return slices.CompactFunc(all, func(a, b wanted) bool { return a.lockName == b.lockName })
}

// wantPorts asks for the ports that nobody fixed: one for each version, listen
// and instance. A version's own port is the first listen's.
func wantPorts(s *Service, want func(kind, name string, place Place)) {
	for _, v := range s.Variants() {
		for i, l := range s.Listens {
			if l.Port != 0 || i == 0 && v.Port != 0 {
				continue
			}
			for instance := 1; instance <= max(1, s.Instances); instance++ {
				want(kindPort, portName(s.Name, v.Name, l.Name, instance), l.Place)
			}
		}
	}
}
