package deploy

import (
	"math"
	"slices"

	"github.com/nixmesh/nixmesh/spec"
)

// Wave is a group of hosts that go before the next group starts.
type Wave struct {
	Name  string   `json:"name"`  // the selector as written, "" for the wave of all
	Hosts []string `json:"hosts"` // by name
}

// Waves orders hosts by the fleet's rollout. Hosts that no selector names go
// last. Waves without a host are left out.
func Waves(f *spec.Fleet, hosts []string) []Wave {
	left := slices.Clone(hosts)
	slices.Sort(left)
	var waves []Wave
	take := func(name string, members []string) {
		var w []string
		left = slices.DeleteFunc(left, func(h string) bool {
			if !slices.Contains(members, h) {
				return false
			}
			w = append(w, h)
			return true
		})
		if len(w) > 0 {
			waves = append(waves, Wave{Name: name, Hosts: w})
		}
	}
	for i, members := range f.Rollout.Order {
		name := ""
		if i < len(f.Rollout.OrderText) {
			name = f.Rollout.OrderText[i]
		}
		take(name, members)
	}
	take("", slices.Clone(left))
	return waves
}

// backwards is the order of a rollback.
func backwards(waves []Wave) []Wave {
	out := slices.Clone(waves)
	slices.Reverse(out)
	return out
}

// atOnce is how many hosts of a wave may be under way at a time.
func atOnce(r spec.Rollout, wave int) int {
	if r.Parallel > 0 {
		return r.Parallel
	}
	if r.ParallelPct > 0 {
		return max(1, int(math.Floor(float64(wave)*r.ParallelPct/100)))
	}
	return max(1, wave)
}

// LedgerHosts are the hosts that keep the ledger: the first three by name, one
// in a fleet of one or two.
func LedgerHosts(f *spec.Fleet) []string {
	names := hostNames(f)
	if len(names) < 3 {
		return names[:min(1, len(names))]
	}
	return names[:3]
}

func hostNames(f *spec.Fleet) []string {
	names := make([]string, 0, len(f.Hosts))
	for _, h := range f.Hosts {
		names = append(names, h.Name)
	}
	slices.Sort(names)
	return names
}

// mayStart says whether host can go while the hosts of busy are under way: at
// most one ledger host at a time, and no service below its min_healthy.
func mayStart(f *spec.Fleet, ledger []string, host string, busy []string) bool {
	if slices.Contains(ledger, host) {
		for _, b := range busy {
			if slices.Contains(ledger, b) {
				return false
			}
		}
	}
	for _, s := range f.Services {
		if !slices.Contains(s.On, host) {
			continue
		}
		healthy := s.Rollout.MinHealthy
		if healthy < 0 || healthy == 0 && s.Rollout.Place == (spec.Place{}) {
			healthy = len(s.On) - 1
		}
		away := 1
		for _, b := range busy {
			if slices.Contains(s.On, b) {
				away++
			}
		}
		if away > 1 && len(s.On)-away < healthy {
			return false
		}
	}
	return true
}
