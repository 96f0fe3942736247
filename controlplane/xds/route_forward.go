package xds

import (
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"

	"github.com/nixmesh/nixmesh/mesh"
)

// forwarding is a route whose requests go on to versions of the callee.
type forwarding struct {
	name     string
	rule     mesh.Rule
	handling mesh.Handling
	route    *mesh.Route // of the callee, nil for the default
	to       shares
	sticky   string // cookie, "" for none
	mirror   *mesh.Mirror
}

// forward adds the routes of a forwarding. What a WebSocket begins with is a
// request like others, but it may stay open for other times: it has a route of its
// own. A client that has got a version has one for each version, since Envoy by
// itself cannot keep to what it drew by lot.
func (t *routeTable) forward(f forwarding) {
	matches, ok := ruleMatches(f.rule)
	if !ok {
		return // ruleMatches was asked before
	}
	for _, upgraded := range t.kinds() {
		for _, match := range matches {
			name := f.name
			if upgraded {
				name += " upgraded"
				match = clone(match)
				match.Headers = append(match.Headers, toWebSocket())
			}
			if f.sticky != "" && len(f.to) > 1 {
				t.forwardKept(f, name, match, upgraded)
				continue
			}
			action, needs := t.action(f, f.to, upgraded)
			t.needs = append(t.needs, needs...)
			t.add(&routev3.Route{Name: name, Match: match, Action: &routev3.Route_Route{Route: action}}, f.rule, f.handling)
		}
	}
}

// kinds are the connections that a call may have: whether upgraded.
func (t *routeTable) kinds() []bool {
	if t.call.protocol == "grpc" {
		return []bool{false}
	}
	return []bool{true, false}
}

// forwardKept keeps clients on the version that they got, as long as it has a
// share: a cookie names it.
func (t *routeTable) forwardKept(f forwarding, name string, match *routev3.RouteMatch, upgraded bool) {
	for _, share := range f.to {
		kept := clone(match)
		kept.Cookies = append(kept.Cookies, &routev3.CookieMatcher{Name: f.sticky, StringMatch: exactly(share.version)})
		action, needs := t.action(f, shares{share}, upgraded)
		t.needs = append(t.needs, needs...)
		t.add(&routev3.Route{Name: name, Match: kept, Action: &routev3.Route_Route{Route: action}}, f.rule, f.handling)
	}
	action, _ := t.action(f, f.to, upgraded)
	for i, weighted := range action.GetWeightedClusters().Clusters {
		weighted.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "set-cookie", Value: f.sticky + "=" + f.to[i].version + "; Path=/; HttpOnly"},
			AppendAction: corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD,
		}}
	}
	t.add(&routev3.Route{Name: name, Match: match, Action: &routev3.Route_Route{Route: action}}, f.rule, f.handling)
}

// action sends requests to versions, with the patience that acts.
func (t *routeTable) action(f forwarding, to shares, upgraded bool) (*routev3.RouteAction, []Key) {
	c := t.call
	action := &routev3.RouteAction{
		ClusterNotFoundResponseCode: routev3.RouteAction_SERVICE_UNAVAILABLE,
		HashPolicy:                  requestHash(c.how.Hash),
	}
	needs := t.sendTo(action, c, to)
	t.patience(action, f.route, upgraded)
	if f.mirror != nil && !upgraded {
		mirror := t.callCluster(c, f.mirror.Version)
		action.RequestMirrorPolicies = mirrorTo(mirror, f.mirror.Percent)
		needs = append(needs, Key{Cluster, mirror})
	}
	return action, needs
}

// patience sets the one that acts on a route of the callee, nil for its default.
func (t *routeTable) patience(action *routev3.RouteAction, route *mesh.Route, upgraded bool) {
	c := t.call
	acts, err := t.in.Config.Resolve(mesh.Asked{Caller: c.caller, Upstream: c.upstream, Listen: c.listen, Route: route, Upgraded: upgraded})
	if err == nil { // it always is: the edge is there
		patience(action, acts, hashes(c.how))
	}
}

// mirrorTo copies a part of the requests to a cluster.
func mirrorTo(cluster string, percent mesh.Percent) []*routev3.RouteAction_RequestMirrorPolicy {
	return []*routev3.RouteAction_RequestMirrorPolicy{{
		Cluster:                       cluster,
		RuntimeFraction:               &corev3.RuntimeFractionalPercent{DefaultValue: fraction(percent)},
		DisableShadowHostSuffixAppend: true,
	}}
}

func fraction(p mesh.Percent) *typev3.FractionalPercent {
	return &typev3.FractionalPercent{Numerator: uint32(float64(p)*10_000 + 0.5), Denominator: typev3.FractionalPercent_MILLION}
}

func toWebSocket() *routev3.HeaderMatcher {
	m := exactly("websocket")
	m.IgnoreCase = true
	return &routev3.HeaderMatcher{Name: "upgrade", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m}}
}

func exactly(text string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: text}}
}

// clone is a match that can be added to.
func clone(m *routev3.RouteMatch) *routev3.RouteMatch {
	m = proto.CloneOf(m)
	m.Headers, m.Cookies = slices.Clip(m.Headers), slices.Clip(m.Cookies)
	return m
}
