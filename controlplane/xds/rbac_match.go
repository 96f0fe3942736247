package xds

import (
	"strings"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/common/set_filter_state/v3"
	setstatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_filter_state/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	networkinputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nixmesh/nixmesh/mesh"
)

type predicate = xdsmatcherv3.Matcher_MatcherList_Predicate

// pathState is where a request keeps its path without the query. The header :path
// has both, and a pattern could not be kept from reading on into the query, which
// the client chooses freely: "/x.y" would take "/x?y".
const pathState = "nixmesh.path"

// pathFilter notes the path of each request for the rules behind it.
func pathFilter() *hcmv3.HttpFilter {
	return httpFilter("envoy.filters.http.set_filter_state", &setstatev3.Config{OnRequestHeaders: []*filterstatev3.FilterStateValue{{
		Key:        &filterstatev3.FilterStateValue_ObjectKey{ObjectKey: pathState},
		FactoryKey: "envoy.string",
		Value: &filterstatev3.FilterStateValue_FormatString{FormatString: &corev3.SubstitutionFormatString{
			Format: &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: "%PATH(NQ:PATH)%"},
			}},
		}},
	}}})
}

// conditions are what an allow asks of a request: all of them have to hold. It is
// not possible where a path that no request can have is the only one.
func conditions(a *mesh.Allow) (all []*predicate, possible bool) {
	var methods, paths []*predicate
	for _, method := range a.Methods {
		methods = append(methods, header(":method", equals(method)))
	}
	for _, p := range a.Paths {
		if p.Kind != mesh.PathRegex && strings.Contains(p.Text, "?") {
			continue
		}
		paths = append(paths, single("envoy.matching.inputs.filter_state", &networkinputv3.FilterStateInput{Key: pathState}, ofPath(p)))
	}
	if len(methods) > 0 {
		all = append(all, anyOf(methods))
	}
	if len(paths) > 0 {
		all = append(all, anyOf(paths))
	}
	for _, m := range a.Headers {
		all = append(all, ofHeader(m))
	}
	return all, len(paths) > 0 || len(a.Paths) == 0
}

func ofPath(p mesh.Path) *xdsmatcherv3.StringMatcher {
	switch p.Kind {
	case mesh.PathExact:
		return equals(p.Text)
	case mesh.PathPrefix:
		return &xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_Prefix{Prefix: p.Text}}
	default:
		return fully(p.Text)
	}
}

// ofHeader is a rule for a header. A missing one fulfils the opposite of any rule.
func ofHeader(m mesh.Match) *predicate {
	value := fully(`(?s:.*)`)
	switch m.Kind {
	case mesh.MatchExact:
		value = equals(m.Text)
	case mesh.MatchRegex:
		value = fully(m.Text)
	}
	p := header(strings.ToLower(m.Name), value)
	if m.Not {
		p = &predicate{MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_NotMatcher{NotMatcher: p}}
	}
	return p
}

func header(name string, value *xdsmatcherv3.StringMatcher) *predicate {
	return single("envoy.matching.inputs.request_headers", &matcherv3.HttpRequestHeaderMatchInput{HeaderName: name}, value)
}

func single(name string, input Message, value *xdsmatcherv3.StringMatcher) *predicate {
	return &predicate{MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_{
		SinglePredicate: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate{
			Input:   &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: Any(input)},
			Matcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_ValueMatch{ValueMatch: value},
		},
	}}
}

func equals(text string) *xdsmatcherv3.StringMatcher {
	return &xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_Exact{Exact: text}}
}

// fully is a pattern for all of a text.
func fully(pattern string) *xdsmatcherv3.StringMatcher {
	return &xdsmatcherv3.StringMatcher{MatchPattern: &xdsmatcherv3.StringMatcher_SafeRegex{SafeRegex: &xdsmatcherv3.RegexMatcher{
		EngineType: &xdsmatcherv3.RegexMatcher_GoogleRe2{GoogleRe2: &xdsmatcherv3.RegexMatcher_GoogleRE2{}},
		Regex:      pattern,
	}}}
}

func allOf(list []*predicate) *predicate {
	if len(list) == 1 {
		return list[0]
	}
	return &predicate{MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_AndMatcher{
		AndMatcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_PredicateList{Predicate: list},
	}}
}

func anyOf(list []*predicate) *predicate {
	if len(list) == 1 {
		return list[0]
	}
	return &predicate{MatchType: &xdsmatcherv3.Matcher_MatcherList_Predicate_OrMatcher{
		OrMatcher: &xdsmatcherv3.Matcher_MatcherList_Predicate_PredicateList{Predicate: list},
	}}
}
