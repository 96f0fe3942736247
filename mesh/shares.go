package mesh

import (
	"fmt"
	"maps"
	"slices"
)

// Sent is a share of some calls that a configuration sends to one version of a
// service, ready or not: nobody else gets them instead.
type Sent struct {
	Service, Version string
	What             string // "the calls", "route /v2/", "gateway edge shop.example/v2/"
	Percent          Percent
}

// Sends lists what goes to a version by name, sorted: by splits, by routes and by
// gateways' routes. Connections (tcp, redis) are not among them: they go to
// versions that are ready.
func (c *Config) Sends() []Sent {
	var all []Sent
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		s := c.Services[name]
		if !slices.ContainsFunc(s.Listens, func(l Listen) bool { return isHTTP(l.Protocol) }) {
			continue
		}
		add := func(what string, split map[string]Percent) {
			for _, version := range slices.Sorted(maps.Keys(split)) {
				if split[version] > 0 {
					all = append(all, Sent{name, version, what, split[version]})
				}
			}
		}
		add("the calls", s.Split)
		for _, r := range s.Routes {
			split := r.Split
			if r.To != "" {
				split = map[string]Percent{r.To: 100}
			}
			add("route "+r.Path.Text, split)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Gateways)) {
		for _, r := range c.Gateways[name].Routes {
			for _, to := range r.Targets {
				if to.Version != "" && to.Percent > 0 {
					all = append(all, Sent{to.Service, to.Version, fmt.Sprintf("gateway %s %s%s", name, r.Host, r.Path.Text), to.Percent})
				}
			}
		}
	}
	return all
}

// FailsOver says whether a caller's calls of a service go to another one where it
// has nobody ready.
func (c *Config) FailsOver(service string) bool {
	for _, edges := range c.Edges {
		for name, e := range edges {
			if upstream, _ := SplitEdgeName(name); upstream == service && len(e.Failover.To) > 0 {
				return true
			}
		}
	}
	return false
}
