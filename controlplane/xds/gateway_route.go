package xds

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/nixmesh/nixmesh/mesh"
)

// gatewayTable collects the routes of one host name of a gateway, in the order in
// which Envoy tries them.
type gatewayTable struct {
	*builder
	name        string
	gateway     *mesh.Gateway
	list        []*routev3.Route
	needs       []Key
	longestBody int // bytes
}

// about is the gateway, and what it calls: "" for nothing.
func (t *gatewayTable) about(edge string) About {
	if edge == "" {
		return About{Gateway: t.name}
	}
	return About{Gateway: t.name, Caller: t.name, Edge: edge}
}

// route adds one of the gateway's, each of the callee's routes behind it first.
func (t *gatewayTable) route(r *mesh.GatewayRoute) {
	name := r.Host + routeText(r.Path)
	if _, ok := ruleMatches(r.Rule); !ok {
		t.problem(Missing, t.about(""), fmt.Sprintf("route %s is left out: Envoy cannot match the opposite of a pattern in the query", name))
		return
	}
	if len(r.Auth) > 0 {
		t.problem(Standin, t.about(""), fmt.Sprintf("route %s answers 503: nixmesh cannot ask for its auth yet, and lets nobody in without", name))
		t.answer(r, leaf{name: name, joined: joined{rule: r.Rule}, upTo: wholeShare, respond: &mesh.Respond{Status: 503, Body: "this route needs an auth that is not there yet\n"}}, nil)
		return
	}
	if r.Redirect != nil || r.Respond != nil {
		t.answer(r, leaf{name: name, joined: joined{rule: r.Rule}, upTo: wholeShare, redirect: r.Redirect, respond: r.Respond}, nil)
		return
	}
	leaves := t.leaves(name, r)
	if i := slices.IndexFunc(leaves, func(l leaf) bool { return len(l.to) > 0 }); r.CORS != nil && i >= 0 {
		t.preflight(r, leaves[i])
	}
	t.stay(r, leaves)
	for _, l := range leaves {
		if l.answers() {
			t.answer(r, l, nil)
			continue
		}
		if l.only {
			t.kept(r, l)
		}
		t.forward(r, l)
	}
}

// leaf is a route of the gateway before one of the routes of one of its callees,
// or before none: what Envoy has as one route.
type leaf struct {
	joined
	name   string
	call   call
	callee *mesh.Route
	only   bool // no other service has a part of the gateway's route
	to     shares

	// Of all requests of the gateway's route, in 1/10000 percent of them, those from
	// one number up to another are the service's. Earlier routes have taken the lower.
	from, upTo uint32

	endless  bool // a request may go on for ever: upgraded, or gRPC
	redirect *mesh.Redirect
	respond  *mesh.Respond
	sticky   string // cookie, "" for none
}

// answers says whether Envoy answers by itself.
func (l leaf) answers() bool { return l.redirect != nil || l.respond != nil }

// leaves are those of a route, in the order in which they are tried.
func (t *gatewayTable) leaves(name string, r *mesh.GatewayRoute) []leaf {
	var all []leaf
	targets := targetsOf(r)
	from := 0.0
	for i, target := range targets {
		upTo := from + target.percent
		l := leaf{only: len(targets) == 1, from: parts(from), upTo: parts(upTo)}
		if i == len(targets)-1 {
			l.upTo = wholeShare
		}
		from = upTo
		edge, ok := t.gatewayEdge(t.name, target.service, true)
		if !ok {
			t.problem(Missing, t.about(""), fmt.Sprintf("route %s has no edge to %s", name, target.service))
			continue
		}
		l.call, _ = t.call(t.name, edge)
		if l.from == l.upTo {
			continue
		}
		for i := range l.call.service.Routes {
			callee := &l.call.service.Routes[i]
			if next, ok := t.leaf(l, r, callee, target, name); ok {
				all = append(all, next)
			}
		}
		if last, ok := t.leaf(l, r, nil, target, name); ok {
			all = append(all, last)
		}
	}
	return all
}

func parts(percent float64) uint32 { return uint32(math.Round(percent * 10_000)) }

// leaf is one with a route of the callee, or with none.
func (t *gatewayTable) leaf(l leaf, r *mesh.GatewayRoute, callee *mesh.Route, target serviceTarget, name string) (leaf, bool) {
	l.callee, l.name = callee, name
	if callee != nil {
		l.name += " " + l.call.upstream + routeText(callee.Path)
	}
	j, how := join(t.name, t.gateway, r, callee)
	if how == fits {
		if _, ok := ruleMatches(j.rule); !ok {
			how = unknown
		}
	}
	switch how {
	case never:
		return leaf{}, false
	case unknown:
		t.problem(Missing, t.about(l.call.edge), fmt.Sprintf("route %s of %s is left out behind %s: Envoy has no match for both patterns", routeText(callee.Path), l.call.upstream, name))
		return leaf{}, false
	}
	l.joined = j
	switch {
	case callee != nil && callee.To != "":
		l.to = shares{{callee.To, wholeShare}}
	case callee != nil && len(callee.Split) > 0:
		l.to = l.call.sharesOf(callee.Split)
	case len(target.versions) > 0:
		l.to = target.versions
	default:
		l.to = t.split(l.call)
	}
	l.sticky = cmp.Or(r.Sticky, l.call.service.Sticky)
	if callee != nil {
		l.redirect, l.respond = callee.Redirect, callee.Respond
		l.sticky = cmp.Or(callee.Sticky, l.sticky)
	}
	return l, true
}

// serviceTarget is what one service has of a gateway's route.
type serviceTarget struct {
	service  string
	percent  float64
	versions shares // as the route says them; nil = by the service's split
}

// targetsOf are the targets of a route by service, in their order.
func targetsOf(r *mesh.GatewayRoute) []serviceTarget {
	var list []serviceTarget
	for _, target := range r.Targets {
		i := len(list) - 1
		if i < 0 || list[i].service != target.Service {
			list, i = append(list, serviceTarget{service: target.Service}), i+1
		}
		list[i].percent += float64(target.Percent)
		if target.Version != "" && target.Percent > 0 {
			list[i].versions = append(list[i].versions, share{target.Version, parts(float64(target.Percent))})
		}
	}
	return list
}

// gatewayEdge is the name of a gateway's edge to a service: of the one that is
// HTTP, or of the other.
func (b *builder) gatewayEdge(gateway, service string, http bool) (string, bool) {
	s := b.in.Config.Services[service]
	if s == nil {
		return "", false
	}
	for _, l := range s.Listens {
		edge := mesh.EdgeName(service, l.Name)
		if isHTTP(l.Protocol) == http && b.in.Config.Edges[gateway][edge] != nil {
			return edge, true
		}
	}
	return "", false
}
