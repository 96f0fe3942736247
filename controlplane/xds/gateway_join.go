package xds

import (
	"net/http"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
)

// joined is one of the callee's routes behind a route of a gateway: the requests
// that the gateway's takes and the callee's takes from it, in one rule for requests
// as they come from outside, and what both make of the path.
type joined struct {
	rule mesh.Rule
	path pathChange
}

// pathChange is what becomes of a path: of what the rule's path names or, with a
// pattern, what this makes of the whole. The zero value leaves it.
type pathChange struct {
	pattern, to string
}

// Ways in which two rules fit together.
type fit uint8

const (
	fits    fit = iota + 1
	never       // no request is for both
	unknown     // it takes more than Envoy's matches to tell
)

// join is a gateway's route alone, or before one of its callee's.
func join(name string, gateway *mesh.Gateway, g *mesh.GatewayRoute, r *mesh.Route) (joined, fit) {
	if r == nil {
		return joinPath(g.Rule, g.Rewrite, mesh.Path{Kind: mesh.PathPrefix, Text: "/"}, "")
	}
	if len(r.From) > 0 && !slices.Contains(r.From, name) {
		return joined{}, never
	}
	j, how := joinPath(g.Rule, g.Rewrite, r.Path, r.Rewrite)
	if how != fits {
		return joined{}, how
	}
	if j.rule.Methods, how = joinMethods(g.Methods, r.Methods); how != fits {
		return joined{}, how
	}
	passed := passes(g.Request, claimed(gateway))
	headers, all := joinValues(j.rule.Headers, r.Headers, passed)
	cookies, also := joinValues(j.rule.Cookies, r.Cookies, passed.cookie)
	if !all || !also {
		return joined{}, never
	}
	j.rule.Headers, j.rule.Cookies = headers, cookies
	j.rule.Query = slices.Concat(g.Query, r.Query)
	return j, fits
}

func joinMethods(g, r mesh.Names) (mesh.Names, fit) {
	if len(g) == 0 || len(r) == 0 {
		return slices.Concat(g, r), fits
	}
	both := slices.DeleteFunc(slices.Clone(g), func(method string) bool { return !slices.Contains(r, method) })
	if len(both) == 0 {
		return nil, never
	}
	return both, fits
}

// passed is what a gateway and its route make of a header: its value, and whether
// there is one; false at last where they leave what came.
type passed func(name string) (value string, given, decided bool)

// passes goes by a route's change of headers. Where that says nothing, some are taken
// away: from outside they prove nothing, but Envoy removes them only after it has found
// a route.
func passes(c *mesh.HeaderChange, removed []string) passed {
	return func(name string) (string, bool, bool) {
		same := func(n string) bool { return strings.EqualFold(n, name) }
		if c != nil {
			if slices.ContainsFunc(c.Remove, same) {
				return "", false, true
			}
			for n, value := range c.Set {
				if same(n) {
					return value, true, true
				}
			}
		}
		return "", false, slices.ContainsFunc(removed, same)
	}
}

// cookie is the same for one cookie.
func (p passed) cookie(name string) (string, bool, bool) {
	text, _, decided := p("cookie")
	cookies, _ := http.ParseCookie(text)
	for _, c := range cookies {
		if c.Name == name {
			return c.Value, true, decided
		}
	}
	return "", false, decided
}

// joinValues adds the callee's rules for values to the gateway's. Those for values
// that the gateway itself decides are judged here; false says that they take none.
func joinValues(own, callee []mesh.Match, p passed) ([]mesh.Match, bool) {
	all := slices.Clone(own)
	for _, m := range callee {
		value, given, decided := p(m.Name)
		switch {
		case !decided:
			all = append(all, m)
		case !m.Takes(value, given):
			return nil, false
		}
	}
	return all, true
}

// joinPath joins paths. to and calleeTo are the rewrites, "" for none.
func joinPath(g mesh.Rule, to string, r mesh.Path, calleeTo string) (joined, fit) {
	callee := mesh.Rule{Path: r}
	everything := r.Kind == mesh.PathPrefix && r.Text == "/"
	switch {
	case g.Path.Kind == mesh.PathExact:
		through := g.Rewritten(g.Path.Text, to)
		if !r.Takes(through) {
			return joined{}, never
		}
		return of(g, g.Path, callee.Rewritten(through, calleeTo)), fits
	case g.Path.Kind == mesh.PathPrefix:
		return joinPrefix(g, to, r, calleeTo)
	case to != "" && everything && calleeTo == "":
		return joined{rule: g, path: pathChange{wholeOf(g.Path.Text), substitution(g.Path.Text, to)}}, fits
	case to != "":
		return joined{}, unknown
	case r.Kind == mesh.PathExact:
		if !g.Path.Takes(r.Text) {
			return joined{}, never
		}
		return of(g, r, calleeTo), fits
	case r.Kind == mesh.PathPrefix:
		j := joined{rule: g}
		if !everything {
			j.rule.Headers = append(slices.Clone(g.Headers), beginsWith(r.Text))
		}
		if calleeTo != "" {
			j.path = pathChange{"^" + regexp.QuoteMeta(r.Text), plainText(calleeTo)}
		}
		return j, fits
	case r.Text == g.Path.Text:
		return joined{rule: g, path: calleePattern(r.Text, calleeTo)}, fits
	default:
		return joined{}, unknown
	}
}

// joinPrefix joins a callee's path with a prefix of the gateway, in whose place
// another one may come.
func joinPrefix(g mesh.Rule, to string, r mesh.Path, calleeTo string) (joined, fit) {
	own, passed := g.Path.Text, g.Path.Text
	if to != "" {
		passed = to
	}
	if r.Kind == mesh.PathRegex {
		return joinPattern(g, passed, r.Text, calleeTo)
	}
	becomes := func(path string) string {
		if calleeTo != "" {
			return calleeTo
		}
		return path
	}
	if rest, longer := strings.CutPrefix(r.Text, passed); longer {
		return of(g, mesh.Path{Kind: r.Kind, Text: own + rest}, becomes(r.Text)), fits
	}
	if rest, shorter := strings.CutPrefix(passed, r.Text); shorter && r.Kind == mesh.PathPrefix {
		return of(g, g.Path, becomes(r.Text)+rest), fits
	}
	return joined{}, never
}

// joinPattern joins a callee's pattern with a prefix of the gateway. Where that
// passes another prefix on, the pattern has to begin with its text.
func joinPattern(g mesh.Rule, passed, pattern, calleeTo string) (joined, fit) {
	own := g.Path.Text
	if passed == own {
		j := joined{rule: g, path: calleePattern(pattern, calleeTo)}
		j.rule.Path = mesh.Path{Kind: mesh.PathRegex, Text: pattern}
		j.rule.Headers = append(slices.Clone(g.Headers), beginsWith(own))
		return j, fits
	}
	outside, ok := withPrefix(pattern, passed, own)
	if !ok || strings.Contains(calleeTo, `\0`) {
		return joined{}, unknown
	}
	j := joined{rule: g, path: pathChange{"^" + regexp.QuoteMeta(own), plainText(passed)}}
	if calleeTo != "" {
		j.path = calleePattern(outside, calleeTo)
	}
	j.rule.Path = mesh.Path{Kind: mesh.PathRegex, Text: outside}
	return j, fits
}

// of is a rule for a path in which what the path names becomes something else.
func of(g mesh.Rule, path mesh.Path, becomes string) joined {
	j := joined{rule: g}
	j.rule.Path = path
	if becomes != "" && becomes != path.Text {
		j.path.to = becomes
	}
	return j
}

func calleePattern(pattern, to string) pathChange {
	if to == "" {
		return pathChange{}
	}
	return pathChange{wholeOf(pattern), substitution(pattern, to)}
}

// withPrefix is a pattern that takes new+rest where the given one takes old+rest.
// False says that it does not show which these are.
func withPrefix(pattern, old, new string) (string, bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	if parts[0].Op == syntax.OpBeginText {
		parts = parts[1:]
	}
	if len(parts) == 0 || parts[0].Op != syntax.OpLiteral || parts[0].Flags&syntax.FoldCase != 0 {
		return "", false
	}
	rest, begins := strings.CutPrefix(string(parts[0].Rune), old)
	if !begins {
		return "", false
	}
	text := regexp.QuoteMeta(new + rest)
	for _, part := range parts[1:] {
		text += "(?:" + part.String() + ")"
	}
	return text, true
}

func wholeOf(pattern string) string { return `^(?:` + pattern + `)$` }

// plainText is a text as a substitution has it.
func plainText(text string) string { return strings.ReplaceAll(text, `\`, `\\`) }

// beginsWith is a rule for the start of a path that another rule is for as a whole.
// A header of HTTP has the query, too, which is behind it.
func beginsWith(prefix string) mesh.Match {
	return mesh.Match{Name: ":path", Kind: mesh.MatchRegex, Text: regexp.QuoteMeta(prefix) + ".*"}
}
