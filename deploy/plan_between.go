package deploy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
)

// foresee notes what calls lose while the plan is carried out. Waves are those of the
// hosts that it switches, and same the hosts that run what the spec says already.
func (m *MeshPlan) foresee(waves []Wave, same []string) {
	if m == nil || m.live == nil || m.live.config == nil {
		return
	}
	var lines []string
	if len(waves) > 0 {
		lines = append(mesh.Between(m.live.config, m.next), moving(m.live.config, m.next, waves, same)...)
	}
	for _, line := range append(lines, endingText(mesh.Ends(m.live.config, m.target()))...) {
		if !slices.Contains(m.Notes, line) {
			m.Notes = append(m.Notes, line)
		}
	}
}

// moving tells of services that leave all of their hosts before another one has them:
// min_healthy counts the hosts of the spec only.
func moving(live, next *mesh.Config, waves []Wave, same []string) []string {
	turn := func(host string) int {
		for i, w := range waves {
			if slices.Contains(w.Hosts, host) {
				return i
			}
		}
		if slices.Contains(same, host) {
			return -1
		}
		return math.MaxInt
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(next.Services)) {
		l, n := live.Services[name], next.Services[name]
		if l == nil || len(l.Listens) == 0 || !called(live, name) {
			continue
		}
		from, to := placed(l), placed(n)
		if len(from) == 0 || len(to) == 0 || slices.ContainsFunc(from, func(h string) bool { return slices.Contains(to, h) }) {
			continue
		}
		gone, there := -1, math.MaxInt
		for _, h := range from {
			gone = max(gone, turn(h))
		}
		for _, h := range to {
			there = min(there, turn(h))
		}
		if gone == math.MaxInt || there < gone {
			continue // it stays, or is there before
		}
		lines = append(lines, fmt.Sprintf("%s moves from %s to %s: nobody takes its calls from when %s until %s; keep both in its `on` for one deploy", name,
			some(from), some(to), switched(from), switched(to[:1])))
	}
	return lines
}

// switched is "app1 is switched", or "app1, app2 are switched".
func switched(hosts []string) string {
	return some(hosts) + pick(len(hosts) == 1, " is switched", " are switched")
}

// placed are the hosts of a service's versions.
func placed(s *mesh.Service) []string {
	var hosts []string
	for _, v := range s.Versions {
		hosts = append(hosts, v.Hosts...)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// called says whether a configuration lets anybody call a service.
func called(c *mesh.Config, service string) bool {
	for _, edges := range c.Edges {
		for edge := range edges {
			if upstream, _ := mesh.SplitEdgeName(edge); upstream == service {
				return true
			}
		}
	}
	return false
}

// endingText names the open connections that end.
func endingText(e mesh.Ended) (lines []string) {
	if e.All {
		return []string{"all open TCP connections, WebSockets and streams end once, since what is logged changes (`telemetry { access_log }`)"}
	}
	if len(e.Edges) > 0 {
		lines = append(lines, "open TCP connections end: "+strings.Join(e.Edges, ", "))
	}
	if len(e.Gateways) > 0 {
		lines = append(lines, "open connections end, WebSockets and streams too: gateway "+strings.Join(e.Gateways, ", "))
	}
	return lines
}
