package compile

import (
	"fmt"

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
		for i, c := range s.Checks {
			if checkName(s, i) == check {
				return orPlace(c.Place, s.Place)
			}
		}
	}
	return spec.Place{}
}

// checkName is the service's name; from the second check on with a number.
func checkName(s *spec.Service, i int) string {
	if i == 0 {
		return s.Name
	}
	return fmt.Sprintf("%s#%d", s.Name, i+1)
}
