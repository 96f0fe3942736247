package xds

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/nixmesh/nixmesh/mesh"
)

// ruleMatches are matches of which one or more take a request if and only if the
// rule does. False says that Envoy has no such match.
func ruleMatches(r mesh.Rule) ([]*routev3.RouteMatch, bool) {
	first := pathMatch(r.Path)
	if len(r.Methods) > 0 {
		first.Headers = append(first.Headers, headerMatch(":method", oneOf(r.Methods)))
	}
	for _, m := range r.Cookies {
		first.Cookies = append(first.Cookies, &routev3.CookieMatcher{Name: m.Name, StringMatch: valueMatch(m), InvertMatch: m.Not})
	}
	for _, m := range r.Query {
		if !matchArgument(first, m) {
			return nil, false
		}
	}
	matches := []*routev3.RouteMatch{first}
	for _, m := range r.Headers {
		matches = matchHeader(matches, m)
	}
	return matches, true
}

func pathMatch(p mesh.Path) *routev3.RouteMatch {
	switch p.Kind {
	case mesh.PathExact:
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: p.Text}}
	case mesh.PathPrefix:
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: p.Text}}
	default:
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: pattern(p.Text)}}
	}
}

// pattern is RE2 of a whole text, which is how Envoy takes it everywhere. An empty
// one, of the empty text, it refuses.
func pattern(text string) *matcherv3.RegexMatcher {
	return &matcherv3.RegexMatcher{Regex: cmp.Or(text, "(?:)")}
}

func patternMatch(text string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: pattern(text)}}
}

// valueMatch is a rule for a value that is there.
func valueMatch(m mesh.Match) *matcherv3.StringMatcher {
	switch m.Kind {
	case mesh.MatchExact:
		return exactly(m.Text)
	case mesh.MatchRegex:
		return patternMatch(m.Text)
	default:
		return patternMatch(".*")
	}
}

func headerMatch(name string, m *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{Name: name, HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m}}
}

// oneOf is one of some words.
func oneOf(words []string) *matcherv3.StringMatcher {
	if len(words) == 1 {
		return exactly(words[0])
	}
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = regexp.QuoteMeta(word)
	}
	return patternMatch(strings.Join(quoted, "|"))
}

// matchHeader adds a rule for a header. To Envoy the opposite of a value is
// another value, or with a word more also a header that is missing, taken for
// empty. Where the rule takes an empty value, its opposite is therefore one match
// for headers that are there, and another for those that are not.
func matchHeader(matches []*routev3.RouteMatch, m mesh.Match) []*routev3.RouteMatch {
	present := func(not bool) *routev3.HeaderMatcher {
		return &routev3.HeaderMatcher{Name: m.Name, HeaderMatchSpecifier: &routev3.HeaderMatcher_PresentMatch{PresentMatch: true}, InvertMatch: not}
	}
	value := headerMatch(m.Name, valueMatch(m))
	value.InvertMatch = m.Not
	var all []*routev3.RouteMatch
	for _, match := range matches {
		switch {
		case m.Kind == mesh.MatchPresent:
			match.Headers = append(match.Headers, present(m.Not))
		case m.Not && takesEmpty(m):
			missing := clone(match)
			missing.Headers = append(missing.Headers, present(true))
			match.Headers = append(match.Headers, value)
			all = append(all, missing)
		default:
			value.TreatMissingHeaderAsEmpty = m.Not
			match.Headers = append(match.Headers, value)
		}
		all = append(all, match)
	}
	return all
}

func takesEmpty(m mesh.Match) bool {
	if m.Kind == mesh.MatchExact {
		return m.Text == ""
	}
	re, err := regexp.Compile(`^(?:` + m.Text + `)$`)
	return err == nil && re.MatchString("")
}

// matchArgument adds a rule for the first argument of a name. Envoy has no opposite
// of one: that is one of the whole path. Of a pattern there is none at all.
func matchArgument(match *routev3.RouteMatch, m mesh.Match) bool {
	if !m.Not {
		match.QueryParameters = append(match.QueryParameters, &routev3.QueryParameterMatcher{
			Name:                         m.Name,
			QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{StringMatch: valueMatch(m)},
		})
		return true
	}
	if m.Kind == mesh.MatchRegex {
		return false
	}
	first := `[^?]*\?(?:` + otherThan(m.Name) + `(?:=[^&]*)?&)*` + regexp.QuoteMeta(m.Name)
	switch {
	case m.Kind == mesh.MatchPresent:
		first += `(?:[=&].*)?`
	case m.Text == "":
		first += `=?(?:&.*)?`
	default:
		first += "=" + regexp.QuoteMeta(m.Text) + `(?:&.*)?`
	}
	given := headerMatch(":path", patternMatch(first))
	given.InvertMatch = true
	match.Headers = append(match.Headers, given)
	return true
}

// otherThan is a pattern of the names of arguments but one: those that leave it at
// some character, end before it does, or go on after it.
func otherThan(name string) string {
	var ways []string
	for i, c := range name {
		ways = append(ways, fmt.Sprintf(`%s(?:[^=&\x{%x}][^=&]*)?`, regexp.QuoteMeta(name[:i]), c))
	}
	ways = append(ways, regexp.QuoteMeta(name)+`[^=&]+`)
	return "(?:" + strings.Join(ways, "|") + ")"
}
