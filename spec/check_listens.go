package spec

import (
	"fmt"
	"slices"
)

// checkListens holds the rules over a service's listens (NM0317, NM0107).
func (d *decoder) checkListens(s *Service, b *block) {
	blocks := b.all("listen")
	first := map[string]*block{}
	for i, l := range s.Listens {
		lb := blocks[i]
		if needs := needsPort(s, b, i); needs != "" && !lb.meant("port") {
			d.add(problem{code: "NM0317", rng: lb.header, block: b.title, detail: "The listen needs a port: " + needs + ".", hint: portExample(l.Protocol)})
		}
		if lb.meant("name") && l.Name == "" {
			continue // reported as no name
		}
		other := first[l.Name]
		switch {
		case other == nil:
			first[l.Name] = lb
		case l.Name == "":
			d.add(problem{code: "NM0317", rng: lb.header, block: b.title,
				detail: fmt.Sprintf("There is a listen without name at %s already.", at(other.header)), hint: `with several, each has a name: name = "admin"`})
		default:
			d.add(problem{code: "NM0107", rng: lb.attrs["name"].expr.Range(), block: b.title,
				detail: fmt.Sprintf("There is a listen %q at %s already.", l.Name, at(other.header)), hint: "give it another name"})
		}
	}
}

// needsPort says why a listen has to have a port, "" if it may be allocated.
func needsPort(s *Service, b *block, listen int) string {
	protocol := s.Listens[listen].Protocol
	versions := b.all("version")
	own := listen == 0 && len(versions) > 0 && !slices.ContainsFunc(versions, func(v *block) bool { return !v.meant("port") })
	switch {
	case protocol == "tcp" || protocol == "redis":
		return "callers of " + protocol + " name the port"
	case s.MTLS == "permissive":
		return "with mtls = \"permissive\" it is also called in the clear"
	case runsUnits(b) && !own:
		return "nixmesh does not tell a unit which port to take"
	default:
		return ""
	}
}

func portExample(protocol string) string {
	switch protocol {
	case "tcp":
		return "add port = 5432"
	case "redis":
		return "add port = 6379"
	default:
		return "add port = 8080"
	}
}
