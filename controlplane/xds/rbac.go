package xds

import (
	"fmt"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	sslinputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"

	"github.com/nixmesh/nixmesh/mesh"
)

// Names of the rules that judge a call, as the access log shows them. Those of a
// caller begin with it: "web.edge", "web.allow-0" of the callee's first allow.
const (
	ruleNoEdge   = "no-edge"  // nobody lets the caller call
	ruleEdge     = "edge"     // nothing narrows the caller
	ruleShadow   = "shadow"   // only shadows would
	ruleNarrowed = "narrowed" // no allow of the caller admits this
	ruleNoAllow  = "no-allow" // and the fleet asks for one
)

func ruleAllow(index int) string { return fmt.Sprint("allow-", index) }

// rules builds who may make which requests to an offer that is HTTP. It agrees
// with mesh.Config.Allowed. It is a resource of its own, so that a change of
// permissions acts on the next request of every connection, and closes none.
func (b *builder) rules(o offer) {
	name := rulesExtension(o.service, o.listen)
	config := &rbacv3.RBAC{}
	config.Matcher, config.ShadowMatcher = judges(b.in.Config, o.service, o.runs)
	b.add(Extension, name, &corev3.TypedExtensionConfig{Name: name, TypedConfig: Any(config)}, o.about())
}

// rulesFilter is the place in a chain that takes the rules of a listen. Until they
// come it lets nothing pass.
func rulesFilter(service, listen string) *hcmv3.HttpFilter {
	return discovered(rulesExtension(service, listen), &rbacv3.RBAC{
		Matcher: &xdsmatcherv3.Matcher{OnNoMatch: verdict(ruleNoEdge, rbacconfigv3.RBAC_DENY)},
	})
}

// judges are the tree that decides about a request, and the one that counts what
// shadows would refuse, nil where there are none. Both look up the caller first.
func judges(c *mesh.Config, service, listen string) (enforced, shadow *xdsmatcherv3.Matcher) {
	rules, shadows := map[string]*xdsmatcherv3.Matcher_OnMatch{}, map[string]*xdsmatcherv3.Matcher_OnMatch{}
	for _, caller := range callersOf(c, service, listen) {
		id := callerID(c.TrustDomain, caller)
		own, seen := allowsOf(c.Services[service].Allows, caller)
		switch {
		case len(own) > 0:
			rules[id] = admit(c.Services[service].Allows, own, caller, listen)
		case len(seen) > 0:
			rules[id] = verdict(caller+"."+ruleShadow, rbacconfigv3.RBAC_ALLOW)
			shadows[id] = admit(c.Services[service].Allows, seen, caller, listen)
		case c.Authorization == mesh.Explicit && !isOperator(caller):
			rules[id] = verdict(caller+"."+ruleNoAllow, rbacconfigv3.RBAC_DENY)
		default:
			rules[id] = verdict(caller+"."+ruleEdge, rbacconfigv3.RBAC_ALLOW)
		}
	}
	enforced = byCaller(rules, verdict(ruleNoEdge, rbacconfigv3.RBAC_DENY))
	if len(shadows) > 0 {
		shadow = byCaller(shadows, verdict(ruleEdge, rbacconfigv3.RBAC_ALLOW))
	}
	return enforced, shadow
}

// allowsOf are the indexes of a caller's allows: those that are enforced, and shadows.
func allowsOf(allows []mesh.Allow, caller string) (enforced, shadows []int) {
	for i := range allows {
		switch {
		case allows[i].Caller != caller:
		case allows[i].Shadow:
			shadows = append(shadows, i)
		default:
			enforced = append(enforced, i)
		}
	}
	return enforced, shadows
}

// admit lets a request pass that any of a caller's allows admits: the first one.
func admit(allows []mesh.Allow, indexes []int, caller, listen string) *xdsmatcherv3.Matcher_OnMatch {
	tree := &xdsmatcherv3.Matcher{OnNoMatch: verdict(caller+"."+ruleNarrowed, rbacconfigv3.RBAC_DENY)}
	var list []*xdsmatcherv3.Matcher_MatcherList_FieldMatcher
	for _, i := range indexes {
		a := &allows[i]
		if a.Listen != "" && a.Listen != listen {
			continue
		}
		pass := verdict(caller+"."+ruleAllow(i), rbacconfigv3.RBAC_ALLOW)
		asks, possible := conditions(a)
		if !possible {
			continue
		}
		if len(asks) == 0 { // it admits all; whatever comes behind it changes nothing
			tree.OnNoMatch = pass
			break
		}
		list = append(list, &xdsmatcherv3.Matcher_MatcherList_FieldMatcher{Predicate: allOf(asks), OnMatch: pass})
	}
	if len(list) == 0 {
		return tree.OnNoMatch
	}
	tree.MatcherType = &xdsmatcherv3.Matcher_MatcherList_{MatcherList: &xdsmatcherv3.Matcher_MatcherList{Matchers: list}}
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Matcher{Matcher: tree}}
}

func byCaller(rules map[string]*xdsmatcherv3.Matcher_OnMatch, otherwise *xdsmatcherv3.Matcher_OnMatch) *xdsmatcherv3.Matcher {
	tree := &xdsmatcherv3.Matcher{OnNoMatch: otherwise}
	if len(rules) > 0 {
		tree.MatcherType = &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: &xdsmatcherv3.Matcher_MatcherTree{
			Input:    &xdscorev3.TypedExtensionConfig{Name: "envoy.matching.inputs.uri_san", TypedConfig: Any(&sslinputv3.UriSanInput{})},
			TreeType: &xdsmatcherv3.Matcher_MatcherTree_ExactMatchMap{ExactMatchMap: &xdsmatcherv3.Matcher_MatcherTree_MatchMap{Map: rules}},
		}}
	}
	return tree
}

func verdict(rule string, action rbacconfigv3.RBAC_Action) *xdsmatcherv3.Matcher_OnMatch {
	return &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{Action: &xdscorev3.TypedExtensionConfig{
		Name: "envoy.filters.rbac.action", TypedConfig: Any(&rbacconfigv3.Action{Name: rule, Action: action}),
	}}}
}
