package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is one difference between two configurations, for people.
type Change struct {
	Op      string `json:"op"`               // "+", "-", "~"
	Kind    string `json:"kind"`             // "edge", "split", "allow", "host", …
	Subject string `json:"subject"`          // "api -> stripe"
	Before  string `json:"before,omitempty"` // of ~ and -
	After   string `json:"after,omitempty"`  // of ~ and +
}

// KindAuthority is the kind of a Change of who signs certificates; its Subject is
// the host.
const KindAuthority = "authority"

// String is the change's line: "~ split api v1 100 -> v1 90, v2 10".
func (c Change) String() string {
	words := []string{c.Op, c.Kind, c.Subject}
	if c.Op == "~" {
		words = append(words, c.Before, "->", c.After)
	} else {
		words = append(words, c.Before, c.After)
	}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

// Diff says how b differs from a, sorted by kind and subject. No difference is
// left out: what has no words of its own is named by its member in the
// document. What is new or gone as a whole is one line.
func Diff(a, b *Config) []Change {
	d := &differ{encoder: newEncoder()}
	d.members("fleet", "", withoutNamed(a), withoutNamed(b))
	d.authorities(a.CA.Authorities, b.CA.Authorities)
	pair(a.Hosts, b.Hosts, func(name string, x, y *Host) { d.whole("host", name, x, y) })
	pair(a.Externals, b.Externals, func(name string, x, y *External) { d.whole("external", name, x, y) })
	pair(a.Operators, b.Operators, func(name string, x, y *Operator) { d.whole("operator", name, x, y) })
	pair(a.Services, b.Services, func(name string, x, y *Service) {
		if d.whole("service", name, x, y, "split", "allows", "routes", "versions") {
			d.service(name, a, b)
		}
	})
	pair(a.Gateways, b.Gateways, func(name string, x, y *Gateway) {
		if d.whole("gateway", name, x, y, "routes", "listens") {
			d.gateway(name, x, y)
		}
	})
	pair(a.Edges, b.Edges, func(caller string, x, y map[string]*Edge) {
		pair(x, y, func(name string, x, y *Edge) {
			subject := caller + " -> " + name
			if x != nil && y != nil {
				d.members("edge", subject, x, y)
			} else {
				d.text("edge", subject, edgeText(x), edgeText(y), x != nil, y != nil)
			}
		})
	})
	slices.SortStableFunc(d.changes, func(x, y Change) int {
		return cmp.Or(strings.Compare(x.Kind, y.Kind), strings.Compare(x.Subject, y.Subject))
	})
	return d.changes
}

type differ struct {
	encoder *encoder
	changes []Change
}

// withoutNamed is a configuration without what Diff compares by name.
func withoutNamed(c *Config) *Config {
	rest := *c
	rest.CA.Authorities = nil
	rest.Hosts, rest.Services, rest.Gateways, rest.Externals, rest.Operators, rest.Edges = nil, nil, nil, nil, nil, nil
	return &rest
}

// pair visits every name of two maps; the zero value stands for what one lacks.
func pair[V any](a, b map[string]V, visit func(name string, x, y V)) {
	for _, name := range union(a, b) {
		visit(name, a[name], b[name])
	}
}

func union[V any](a, b map[string]V) []string {
	all := map[string]V{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return keys(all)
}

// text compares two things in words.
func (d *differ) text(kind, subject, before, after string, was, is bool) {
	switch {
	case was && is && before != after:
		d.changes = append(d.changes, Change{"~", kind, subject, before, after})
	case was && !is:
		d.changes = append(d.changes, Change{"-", kind, subject, before, ""})
	case !was && is:
		d.changes = append(d.changes, Change{"+", kind, subject, "", after})
	}
}

// authorities compares who signs certificates: a line each, since whoever does
// can say to be anybody.
func (d *differ) authorities(a, b Names) {
	for _, host := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b)))) {
		const power = "can issue any identity"
		d.text(KindAuthority, host, power, power, slices.Contains(a, host), slices.Contains(b, host))
	}
}

// whole compares two things, each of which may be missing, and says whether
// both are there. Members that the caller compares itself are skipped.
func (d *differ) whole(kind, subject string, a, b any, skip ...string) bool {
	was, is := d.encoder.value(a) != nil, d.encoder.value(b) != nil
	d.text(kind, subject, "", "", was, is)
	if was && is {
		d.members(kind, subject, a, b, skip...)
	}
	return was && is
}

// members compares two objects leaf by leaf.
func (d *differ) members(kind, subject string, a, b any, skip ...string) {
	leaves := func(object any) map[string]string {
		tree := d.encoder.value(object).(map[string]any)
		for _, name := range skip {
			delete(tree, name)
		}
		leaves := map[string]string{}
		flatten("", tree, leaves)
		return leaves
	}
	before, after := leaves(a), leaves(b)
	for _, leaf := range union(before, after) {
		was, is := before[leaf], after[leaf]
		d.text(kind, strings.TrimSpace(subject+" "+leaf), cmp.Or(was, notGiven), cmp.Or(is, notGiven), true, true)
	}
}

// service compares what services hold by name.
func (d *differ) service(name string, a, b *Config) {
	x, y := a.Services[name], b.Services[name]
	d.text("split", name, splitText(x), splitText(y), true, true)
	versions := func(s *Service) map[string]*Version {
		m := map[string]*Version{}
		for i := range s.Versions {
			m[s.Versions[i].Name] = &s.Versions[i]
		}
		return m
	}
	pair(versions(x), versions(y), func(version string, v, w *Version) {
		d.whole("version", strings.TrimSpace(name+" "+version), v, w)
	})
	for _, caller := range union(callers(x), callers(y)) {
		d.text("allow", caller+" -> "+name, allowText(a, x, caller), allowText(b, y, caller), true, true)
	}
	d.routes("route", name, routesOf(x.Routes, func(r *Route) string { return ruleText(r.Rule) }), routesOf(y.Routes, func(r *Route) string { return ruleText(r.Rule) }))
}

func (d *differ) gateway(name string, x, y *Gateway) {
	listens := func(g *Gateway) map[string]*GatewayListen {
		m := map[string]*GatewayListen{}
		for i, l := range g.Listens {
			m[fmt.Sprintf("%s %d", l.Protocol, l.Port)] = &g.Listens[i]
		}
		return m
	}
	pair(listens(x), listens(y), func(listen string, v, w *GatewayListen) { d.whole("listen", name+" "+listen, v, w) })
	text := func(r *GatewayRoute) string { return r.Host + ruleText(r.Rule) }
	d.routes("route", name, routesOf(x.Routes, text), routesOf(y.Routes, text))
}

// namedRoutes are routes by what they match, and these names in order.
type namedRoutes struct {
	byName map[string]any
	order  []string
}

func routesOf[R any](routes []R, text func(*R) string) namedRoutes {
	n := namedRoutes{byName: map[string]any{}}
	for i := range routes {
		name := text(&routes[i])
		for n.byName[name] != nil { // the same rule again
			name += " (again)"
		}
		n.byName[name] = &routes[i]
		n.order = append(n.order, name)
	}
	return n
}

// routes compares routes by what they match, and the order of those that both
// have.
func (d *differ) routes(kind, subject string, a, b namedRoutes) {
	for _, name := range union(a.byName, b.byName) {
		before, was := a.byName[name]
		after, is := b.byName[name]
		if was && is {
			d.members(kind, subject+" "+name, before, after)
		} else {
			d.text(kind, subject+" "+name, "", "", was, is)
		}
	}
	both := func(n, other namedRoutes) []string {
		return slices.DeleteFunc(slices.Clone(n.order), func(name string) bool { return other.byName[name] == nil })
	}
	d.text("order", "of the routes of "+subject, strings.Join(both(a, b), ", "), strings.Join(both(b, a), ", "), true, true)
}
