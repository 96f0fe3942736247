package spec

import (
	"cmp"
	"slices"
	"strings"
)

// OrderedRoutes are a service's routes as they are tried: exact paths, longer
// prefixes, regular expressions; then more predicates; then the file. Paths that
// cannot both match one request stand by their text, so that their order in the
// file makes no difference.
func (s *Service) OrderedRoutes() []*Route {
	routes := slices.Clone(s.Routes)
	slices.SortStableFunc(routes, compareRoutes)
	return routes
}

// OrderedRoutes are a gateway's routes as they are tried: by the name of the host,
// exact names before wildcards and longer wildcards first, then as a service's.
func (g *Gateway) OrderedRoutes() []*GatewayRoute {
	routes := slices.Clone(g.Routes)
	slices.SortStableFunc(routes, func(a, b *GatewayRoute) int {
		return cmp.Or(compareHosts(a.Host, b.Host), compareRoutes(&a.Route, &b.Route))
	})
	return routes
}

func compareHosts(a, b string) int {
	wild := func(host string) int {
		if isWildcard(host) {
			return len(host)
		}
		return 1 << 10 // longer than any name
	}
	return cmp.Or(cmp.Compare(wild(b), wild(a)), cmp.Compare(a, b))
}

func compareRoutes(a, b *Route) int {
	rank := func(kind string) int { return slices.Index([]string{"exact", "prefix", "regex"}, kind) }
	order := cmp.Compare(rank(a.Path.Kind), rank(b.Path.Kind))
	if a.Path.Kind == "prefix" {
		order = cmp.Or(order, cmp.Compare(len(b.Path.Text), len(a.Path.Text)))
	}
	if a.Path.Kind != "regex" { // two expressions may match one path
		order = cmp.Or(order, cmp.Compare(a.Path.Text, b.Path.Text))
	}
	return cmp.Or(order, cmp.Compare(b.predicates(), a.predicates()))
}

// predicates counts what a route asks of a request beside its path.
func (r *Route) predicates() int {
	n := len(r.Headers) + len(r.Cookies) + len(r.Query)
	if len(r.From) > 0 {
		n++
	}
	if len(r.Methods) > 0 {
		n++
	}
	return n
}

// takesAll says whether each request that another route would match is matched
// by r. It may miss some: two regular expressions are compared as texts. The
// literal is what all paths of the other begin with.
func (r *Route) takesAll(o *Route, literal string) bool {
	return r.Path.takesAll(o.Path, literal) && within(o.From, r.From) && within(o.Methods, r.Methods) &&
		among(r.Headers, o.Headers) && among(r.Cookies, o.Cookies) && among(r.Query, o.Query)
}

// literal is what all paths begin with that a rule takes.
func (p Path) literal() string {
	if p.Kind == "regex" {
		return "/" + strings.TrimPrefix(literalPrefix(p.Text), "/")
	}
	return p.Text
}

func (p Path) takesAll(o Path, literal string) bool {
	switch {
	case p == o:
		return true
	case p.Kind == "regex":
		return o.Kind == "regex" && p.Text == "/.*"
	case p.Kind != "prefix":
		return false
	default:
		return strings.HasPrefix(literal, p.Text)
	}
}

// within says whether a list is narrower than another; an empty one is all.
func within(narrow, wide []string) bool {
	if len(wide) == 0 {
		return true
	}
	return len(narrow) > 0 && !slices.ContainsFunc(narrow, func(s string) bool { return !slices.Contains(wide, s) })
}

// among says whether each rule is one of others.
func among(rules, others []Match) bool {
	return !slices.ContainsFunc(rules, func(m Match) bool { return !slices.Contains(others, m) })
}

// same says whether two routes match the same requests by the same rules.
func (r *Route) same(o *Route) bool {
	return r.Path == o.Path && r.takesAll(o, o.Path.Text) && o.takesAll(r, r.Path.Text)
}
