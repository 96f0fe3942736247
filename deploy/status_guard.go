package deploy

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/agentapi"
)

// writeGuards writes one line of what the kernel refused on the hosts whose agents
// were asked, in packets since each guard's start; none where it refused nothing.
func writeGuards(w io.Writer, guards map[string]*agentapi.GuardStatus) {
	var all []string
	for _, host := range slices.Sorted(maps.Keys(guards)) {
		if refused := refusals(guards[host]); refused != "" {
			all = append(all, host+" "+refused)
		}
	}
	if len(all) > 0 {
		fmt.Fprintf(w, "\nThe kernel refused: %s\n", strings.Join(all, "; "))
	}
}

// refusals are the counts of a guard that are not 0, in words.
func refusals(g *agentapi.GuardStatus) string {
	var parts []string
	for _, count := range []struct {
		packets uint64
		what    string
	}{
		{g.Undeclared, "of callers without an upstream"}, {g.AppDenied, "past the mesh"}, {g.EgressDenied, "off the host"},
		{g.Squatted, "answers on another's port"}, {g.Outside, "from outside"},
	} {
		if count.packets > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count.packets, count.what))
		}
	}
	return strings.Join(parts, ", ")
}
