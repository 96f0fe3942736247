package compile

import (
	"github.com/nixmesh/nixmesh/spec"
)

// ServicePlace is where a service stands in the HCL. A host's facts name
// services and checks without their places, which must not be part of a
// toplevel: who speaks of them to a person asks here. The zero Place means
// that the fleet has no such service any more.
func ServicePlace(f *spec.Fleet, service string) spec.Place {
	for _, s := range f.Services {
		if s.Name == service {
			return s.Place
		}
	}
	return spec.Place{}
}

// CheckPlace is where a check stands, by its name in host.json.
func CheckPlace(f *spec.Fleet, check string) spec.Place {
	for _, s := range f.Services {
		for _, v := range s.Variants() {
			for _, i := range instancesOf(s, v) {
				for n, c := range s.Checks {
					if checkName(i, n) == check {
						return orPlace(c.Place, s.Place)
					}
				}
			}
		}
	}
	return spec.Place{}
}
