package deploy

import (
	"fmt"
	"slices"
)

// addHeld says what the configuration in force still has, and what it holds
// back, since not all hosts run what the newest release says.
func (s *FleetStatus) addHeld() {
	r := s.released
	if r == nil || s.Mesh == nil || s.Mesh.Document == nil || r.During == "" || s.Mesh.Document.Config != r.During {
		return
	}
	behind := slices.Clone(r.Behind)
	for _, h := range s.Hosts {
		if h.Planned && !h.Live && !slices.Contains(behind, h.Host) {
			behind = append(behind, h.Host)
		}
	}
	slices.Sort(behind)
	s.Mesh.Behind, s.Mesh.Kept, s.Mesh.Waits = behind, r.Kept, r.Waits
	text := keptText(r.Kept, r.Waits)
	if r.Dropped > 0 {
		text += fmt.Sprintf(", and %d more", r.Dropped)
	}
	next := Next{Command: Typed(s.lab, "nixmesh deploy"), Why: fmt.Sprintf("%s behind: %s", plural(len(behind), "host"), text)}
	if len(behind) == 0 { // the last step of the release failed
		next = Next{Command: Typed(s.lab, "nixmesh mesh apply"), Why: fmt.Sprintf("all hosts are current, and the mesh is not: %s", text)}
	}
	s.Attention = append(s.Attention, next)
}
