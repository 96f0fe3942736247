package spec

import (
	"fmt"
	"slices"
)

// checkReach finds routes behind one that takes all they could match (NM0404).
func (d *decoder) checkReach(routes []*Route, blocks []*block) {
	for i, hidden := range hiddenRoutes(routes) {
		if hidden < 0 {
			continue
		}
		d.add(problem{code: "NM0404", rng: blocks[i].name, block: blocks[i].title, detail: hiddenBy(routes[hidden], routes[i], blocks[hidden]),
			hint: "narrow that one, or delete this one"})
	}
}

// hiddenBy says why a route is never reached.
func hiddenBy(first, hidden *Route, b *block) string {
	if hidden.Path.Kind == "regex" && first.Path.Kind == "prefix" {
		return fmt.Sprintf("The route %q at %s is tried first, as prefixes are before regular expressions, and takes all that this one could match.", b.label, at(b.header))
	}
	return fmt.Sprintf("The route %q at %s is tried first and takes all that this one could match.", b.label, at(b.header))
}

// hiddenRoutes gives for each route the one that takes all it could match, or -1.
// Routes whose path was refused are left out.
func hiddenRoutes(routes []*Route) []int {
	hidden := make([]int, len(routes))
	order := make([]int, len(routes))
	for i := range routes {
		hidden[i], order[i] = -1, i
	}
	order = slices.DeleteFunc(order, func(i int) bool { return routes[i].Path.Kind == "" })
	slices.SortStableFunc(order, func(a, b int) int { return compareRoutes(routes[a], routes[b]) })
	for n, i := range order {
		literal := routes[i].Path.literal()
		for _, first := range order[:n] {
			if routes[first].takesAll(routes[i], literal) {
				hidden[i] = first
				break
			}
		}
	}
	return hidden
}

// checkGatewayReach finds routes that another of the same host hides (NM0404,
// NM0414).
func (d *decoder) checkGatewayReach(g *Gateway, blocks []*block) {
	byHost := map[string][]int{}
	for i, r := range g.Routes {
		byHost[r.Host] = append(byHost[r.Host], i)
	}
	for _, of := range byHost {
		var routes []*Route
		for _, i := range of {
			routes = append(routes, &g.Routes[i].Route)
		}
		for n, hidden := range hiddenRoutes(routes) {
			if hidden < 0 {
				continue
			}
			first, b := blocks[of[hidden]], blocks[of[n]]
			if routes[hidden].same(routes[n]) {
				d.add(problem{code: "NM0414", rng: b.name, block: b.title, detail: fmt.Sprintf("There is a route with this host, path and predicates at %s already.", at(first.header)), hint: "keep one of the two"})
				continue
			}
			d.add(problem{code: "NM0404", rng: b.name, block: b.title, detail: hiddenBy(routes[hidden], routes[n], first), hint: "narrow that one, or delete this one"})
		}
	}
}
