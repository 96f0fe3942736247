package xds

import (
	"maps"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/nixmesh/nixmesh/mesh"
)

// forward adds the routes of a leaf whose requests go on. Of several services, one
// is drawn by lot before its routes are tried; Envoy draws once for a request, so
// that each version has its own route then: the draw among weights would be the
// same one again.
func (t *gatewayTable) forward(r *mesh.GatewayRoute, l leaf) {
	if l.only {
		t.add(r, l, l.to, wholeShare, nil)
		return
	}
	sum, below := uint32(0), uint32(0)
	for _, share := range l.to {
		sum += share.parts
	}
	for i, share := range l.to {
		below += share.parts
		upTo := l.from + uint32(uint64(l.upTo-l.from)*uint64(below)/uint64(sum))
		if i == len(l.to)-1 {
			upTo = l.upTo
		}
		t.add(r, l, l.to[i:i+1], upTo, nil)
	}
}

// kept adds routes for clients that have got a version, which a cookie names, as
// long as it has a share.
func (t *gatewayTable) kept(r *mesh.GatewayRoute, l leaf) {
	if l.sticky == "" || l.only && len(l.to) < 2 {
		return
	}
	for _, share := range l.to {
		t.add(r, l, shares{share}, wholeShare, cookieOf(l.sticky, l.choice(share.version)))
	}
}

// choice names a version in a cookie, and where others have a part its service.
func (l leaf) choice(version string) string {
	if l.only {
		return version
	}
	return l.call.upstream + at(version)
}

// stay adds routes for clients that one of several services has got, which a cookie
// names. They meet all its leaves in their order, also those that know no cookie or
// not this one: a cookie leads past none of them.
func (t *gatewayTable) stay(r *mesh.GatewayRoute, leaves []leaf) {
	for len(leaves) > 0 && !leaves[0].only {
		service := leaves
		if end := slices.IndexFunc(leaves, func(l leaf) bool { return l.call.upstream != leaves[0].call.upstream }); end >= 0 {
			service = leaves[:end]
		}
		leaves = leaves[len(service):]
		cookies := cookiesOf(service)
		for i, l := range service {
			l.upTo = wholeShare // there is no lot: the cookie has said it
			if !l.answers() {
				t.kept(r, l)
			}
			for _, c := range cookies {
				t.stayWith(r, l, c.left(i, l))
			}
		}
	}
}

// stayWith adds the routes of a leaf for clients whose cookie has one of some values.
func (t *gatewayTable) stayWith(r *mesh.GatewayRoute, l leaf, c serviceCookie) {
	switch {
	case len(c.choices) == 0:
	case l.answers():
		t.answer(r, l, c.match())
	default:
		t.add(r, l, l.to, wholeShare, c.match())
	}
}

// serviceCookie is a cookie in which clients of a service have what they got.
type serviceCookie struct {
	name    string
	choices []string
	last    int // leaf that has it; it says nothing of those behind
}

// cookiesOf are those of the leaves of one service.
func cookiesOf(leaves []leaf) []serviceCookie {
	var list []serviceCookie
	for i, l := range leaves {
		if l.sticky == "" || l.answers() {
			continue
		}
		at := slices.IndexFunc(list, func(c serviceCookie) bool { return c.name == l.sticky })
		if at < 0 {
			list, at = append(list, serviceCookie{name: l.sticky}), len(list)
		}
		c := &list[at]
		c.last = i
		for _, share := range l.to {
			if choice := l.choice(share.version); !slices.Contains(c.choices, choice) {
				c.choices = append(c.choices, choice)
			}
		}
	}
	return list
}

// left is the cookie with the choices that have no route of their own at a leaf.
func (c serviceCookie) left(at int, l leaf) serviceCookie {
	if at > c.last {
		c.choices = nil
	} else if c.name == l.sticky && !l.answers() {
		c.choices = slices.DeleteFunc(slices.Clone(c.choices), func(choice string) bool {
			return slices.ContainsFunc(l.to, func(s share) bool { return l.choice(s.version) == choice })
		})
	}
	return c
}

func (c serviceCookie) match() *routev3.CookieMatcher { return cookieOf(c.name, c.choices...) }

// cookieOf takes a cookie with one of some values.
func cookieOf(name string, values ...string) *routev3.CookieMatcher {
	return &routev3.CookieMatcher{Name: name, StringMatch: oneOf(values)}
}

// add adds the routes of a leaf to some versions: what a WebSocket begins with has
// a route of its own, since it may stay open for other times.
func (t *gatewayTable) add(r *mesh.GatewayRoute, l leaf, to shares, upTo uint32, kept *routev3.CookieMatcher) {
	kinds := []bool{true, false}
	if l.call.protocol == "grpc" {
		kinds = kinds[1:]
	}
	matches, _ := ruleMatches(l.rule)
	for _, upgraded := range kinds {
		l.endless = upgraded || l.call.protocol == "grpc"
		for _, match := range matches {
			match, name := clone(match), l.name
			if upgraded {
				match.Headers, name = append(match.Headers, toWebSocket()), name+" upgraded"
			}
			if kept != nil {
				match.Cookies = append(match.Cookies, kept)
			}
			drawn(match, upTo)
			action, needs := t.action(r, l, to, upgraded)
			route := &routev3.Route{Name: name, Match: match, Action: &routev3.Route_Route{Route: action}}
			if l.sticky != "" && (kept == nil || len(to) > 1) {
				t.remember(route, l, to)
			}
			t.needs = append(t.needs, needs...)
			t.finish(route, r, l)
		}
	}
}

// drawn makes a match take a part of its requests only.
func drawn(match *routev3.RouteMatch, upTo uint32) {
	if upTo < wholeShare {
		match.RuntimeFraction = &corev3.RuntimeFractionalPercent{
			DefaultValue: &typev3.FractionalPercent{Numerator: upTo, Denominator: typev3.FractionalPercent_MILLION},
		}
	}
}

// remember has clients told by a cookie which version they got.
func (t *gatewayTable) remember(route *routev3.Route, l leaf, to shares) {
	cookie := func(version string) []*corev3.HeaderValueOption {
		return []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "set-cookie", Value: l.sticky + "=" + l.choice(version) + "; Path=/; HttpOnly"},
			AppendAction: corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
		}}
	}
	if weighted := route.GetRoute().GetWeightedClusters(); weighted != nil {
		for i, cluster := range weighted.Clusters {
			cluster.ResponseHeadersToAdd = cookie(to[i].version)
		}
	} else if !l.only {
		route.ResponseHeadersToAdd = cookie(to[0].version)
	}
}

// action sends requests to versions, with the patience that acts.
func (t *gatewayTable) action(r *mesh.GatewayRoute, l leaf, to shares, upgraded bool) (*routev3.RouteAction, []Key) {
	c := l.call
	action := &routev3.RouteAction{
		ClusterNotFoundResponseCode: routev3.RouteAction_SERVICE_UNAVAILABLE,
		HashPolicy:                  requestHash(c.how.Hash),
	}
	needs := t.sendTo(action, c, to)
	acts, err := t.in.Config.Resolve(mesh.Asked{Caller: c.caller, Upstream: c.upstream, Listen: c.listen, Route: l.callee, GatewayRoute: r, Upgraded: upgraded})
	if err == nil { // it always is: the edge is there
		patience(action, acts, hashes(c.how))
		t.hurry(action, r, l, acts)
	}
	if upgraded {
		return action, needs
	}
	if r.Mirror != nil {
		needs = append(needs, t.mirror(action, r.Mirror)...)
	}
	if l.callee != nil && l.callee.Mirror != nil {
		cluster := t.callCluster(c, l.callee.Mirror.Version)
		action.RequestMirrorPolicies = append(action.RequestMirrorPolicies, mirrorTo(cluster, l.callee.Mirror.Percent)...)
		needs = append(needs, Key{Cluster, cluster})
	}
	return action, needs
}

// mirror copies requests to a service. Each of its versions gets as many as it has
// of the service's calls.
func (t *gatewayTable) mirror(action *routev3.RouteAction, m *mesh.Mirror) (needs []Key) {
	edge, ok := t.gatewayEdge(t.name, m.Service, true)
	if !ok {
		return nil
	}
	c, _ := t.call(t.name, edge)
	to := shares{{m.Version, wholeShare}}
	if m.Version == "" {
		to = t.split(c)
	}
	for _, share := range to {
		cluster := t.callCluster(c, share.version)
		action.RequestMirrorPolicies = append(action.RequestMirrorPolicies, mirrorTo(cluster, m.Percent*mesh.Percent(share.parts)/wholeShare)...)
		needs = append(needs, Key{Cluster, cluster})
	}
	return needs
}

// answer adds the routes of a leaf that Envoy answers by itself.
func (t *gatewayTable) answer(r *mesh.GatewayRoute, l leaf, kept *routev3.CookieMatcher) {
	if l.respond != nil {
		t.longestBody = max(t.longestBody, len(l.respond.Body))
	}
	l.endless = true // nobody waits for its end
	matches, _ := ruleMatches(l.rule)
	for _, match := range matches {
		if kept != nil {
			match = clone(match)
			match.Cookies = append(match.Cookies, kept)
		}
		drawn(match, l.upTo)
		t.finish(&routev3.Route{Name: l.name, Match: match, Action: answer(mesh.Handling{Redirect: l.redirect, Respond: l.respond})}, r, l)
	}
}

// finish adds a route with what else happens to its requests: by the gateway, then
// by the callee, and to the answers the other way round.
func (t *gatewayTable) finish(route *routev3.Route, r *mesh.GatewayRoute, l leaf) {
	h := mesh.Handling{Redirect: l.redirect, Request: r.Request, Response: r.Response}
	if l.callee != nil {
		h.Request, h.Response = inTurn(r.Request, l.callee.Request), inTurn(l.callee.Response, r.Response)
	}
	change(route, l.rule, h)
	if action := route.GetRoute(); action != nil {
		switch {
		case l.path.pattern != "":
			action.RegexRewrite = &matcherv3.RegexMatchAndSubstitute{Pattern: pattern(l.path.pattern), Substitution: l.path.to}
		case l.path.to != "":
			action.PrefixRewrite = l.path.to
		}
	}
	t.bound(route, r, l)
	t.list = append(t.list, route)
}

// inTurn are two changes of headers as one.
func inTurn(first, second *mesh.HeaderChange) *mesh.HeaderChange {
	if first == nil || second == nil {
		if first == nil {
			return second
		}
		return first
	}
	set := map[string]string{}
	gone := map[string]bool{}
	for _, c := range []*mesh.HeaderChange{first, second} {
		for name, value := range c.Set {
			set[strings.ToLower(name)] = value
			delete(gone, strings.ToLower(name))
		}
		for _, name := range c.Remove {
			delete(set, strings.ToLower(name))
			gone[strings.ToLower(name)] = true
		}
	}
	return &mesh.HeaderChange{Set: set, Remove: slices.Sorted(maps.Keys(gone))}
}
