package xds

import (
	"cmp"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nixmesh/nixmesh/mesh"
)

// routes builds the routes of a call that is HTTP: those of the callee that are
// for this caller, in its order, and last its split. False says that Envoy would
// not take them.
func (b *builder) routes(c call) bool {
	table := &routeTable{builder: b, call: c}
	if c.external != nil {
		table.external()
	} else {
		for i := range c.service.Routes {
			if r := &c.service.Routes[i]; len(r.From) == 0 || slices.Contains(r.From, c.caller) {
				table.route(r)
			}
		}
		table.forward(forwarding{name: "default", rule: anyPath(), to: b.split(c), sticky: c.service.Sticky})
	}
	name := routeName(c.caller, c.edge)
	host := &routev3.VirtualHost{Name: c.edge, Domains: []string{"*"}, Routes: table.list}
	table.limits.apply(host)
	slices.SortFunc(table.needs, Key.Compare)
	return b.add(Route, name, &routev3.RouteConfiguration{
		Name:                           name,
		VirtualHosts:                   []*routev3.VirtualHost{host},
		ValidateClusters:               wrapperspb.Bool(false), // they are sent first, and one that is missing costs its calls only
		MaxDirectResponseBodySizeBytes: wrapperspb.UInt32(uint32(max(4096, table.longestBody))),
	}, c.about(), slices.Compact(table.needs)...)
}

// routeTable collects the routes of one call, in the order in which Envoy tries
// them.
type routeTable struct {
	*builder
	call        call
	list        []*routev3.Route
	needs       []Key
	longestBody int // bytes
	limits      limitedRoutes
}

func anyPath() mesh.Rule { return mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/"}} }

// route adds one of the callee's.
func (t *routeTable) route(r *mesh.Route) {
	name := routeText(r.Path)
	matches, ok := ruleMatches(r.Rule)
	if !ok {
		t.problem(Missing, t.call.about(), "route "+name+" of "+t.call.upstream+" is left out: Envoy cannot match the opposite of a pattern in the query")
		return
	}
	if action := answer(r.Handling); action != nil {
		if r.Respond != nil {
			t.longestBody = max(t.longestBody, len(r.Respond.Body))
		}
		for _, match := range matches {
			t.add(&routev3.Route{Name: name, Match: match, Action: action}, r.Rule, r.Handling)
		}
		return
	}
	f := forwarding{
		name: name, rule: r.Rule, handling: r.Handling, route: r, mirror: r.Mirror,
		to: t.split(t.call), sticky: cmp.Or(r.Sticky, t.call.service.Sticky),
	}
	switch {
	case r.To != "":
		f.to = shares{{r.To, wholeShare}}
	case len(r.Split) > 0:
		f.to = t.call.sharesOf(r.Split)
	}
	t.forward(f)
}

// add adds a route with what else happens to its requests.
func (t *routeTable) add(r *routev3.Route, rule mesh.Rule, h mesh.Handling) {
	change(r, rule, h)
	t.limits.bound(r, h.Limit, routeName(t.call.caller, t.call.edge))
	t.list = append(t.list, r)
}

// routeText names a route in logs: its path, as the language has it.
func routeText(p mesh.Path) string {
	if p.Kind == mesh.PathRegex {
		return "~" + p.Text
	}
	return p.Text
}
