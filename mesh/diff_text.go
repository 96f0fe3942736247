package mesh

import (
	"fmt"
	"slices"
	"strings"
)

const notGiven = "not given"

// flatten writes the leaves of an object by their path, lists as one leaf.
func flatten(path string, tree any, leaves map[string]string) {
	switch v := tree.(type) {
	case map[string]any:
		for name, value := range v {
			flatten(strings.TrimPrefix(path+"."+name, "."), value, leaves)
		}
	case string:
		leaves[path] = v
		if v == "" {
			leaves[path] = `""`
		}
	case []any:
		leaves[path] = listText(v)
	default:
		leaves[path] = string(appendCanonical(nil, v))
	}
}

// listText is a list of texts with commas, another one as in the document.
func listText(list []any) string {
	var texts []string
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return string(appendCanonical(nil, list))
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// splitText is "v1 90, v2 10"; a version without a share is left out.
func splitText(s *Service) string {
	var shares []string
	for _, version := range keys(s.Split) {
		if share := s.Split[version]; share > 0 {
			shares = append(shares, fmt.Sprintf("%s %v", version, share))
		}
	}
	if len(shares) == 0 {
		return notGiven
	}
	return strings.Join(shares, ", ")
}

// edgeText is what a caller said of its patience, "" for nothing.
func edgeText(e *Edge) string {
	if e == nil {
		return ""
	}
	var words []string
	if e.Timeout != nil {
		words = append(words, "timeout "+e.Timeout.String())
	}
	if e.IdleTimeout != nil {
		words = append(words, "idle timeout "+e.IdleTimeout.String())
	}
	if r := e.Retry; r != nil {
		words = append(words, fmt.Sprintf("retry %d on %s", r.Attempts, strings.Join(r.On, " ")))
	}
	return strings.Join(words, ", ")
}

// callers are those that a service's allows name.
func callers(s *Service) map[string]bool {
	m := map[string]bool{}
	for _, a := range s.Allows {
		m[a.Caller] = true
	}
	return m
}

// allowText is what one caller may do, any of: "GET, POST /internal/".
func allowText(c *Config, s *Service, caller string) string {
	everything := "any connection"
	for _, l := range s.Listens {
		if l.Protocol != "tcp" && l.Protocol != "redis" {
			everything = "any path"
		}
	}
	var rules []string
	for _, a := range s.Allows {
		if a.Caller != caller {
			continue
		}
		rules = append(rules, ruleOf(a, everything))
	}
	switch {
	case len(rules) > 0:
		return strings.Join(rules, "; ")
	case c.Authorization == Explicit:
		return "nothing"
	default:
		return everything
	}
}

// ruleOf is what one allow admits: "GET, POST /internal/ on admin".
func ruleOf(a Allow, everything string) string {
	var words []string
	if len(a.Methods) > 0 {
		words = append(words, strings.Join(a.Methods, ", "))
	}
	paths := []string{}
	for _, p := range a.Paths {
		paths = append(paths, pathText(p))
	}
	if len(paths) == 0 {
		paths = []string{everything}
	}
	words = append(words, strings.Join(paths, ", "))
	words = append(words, matchTexts("header", a.Headers)...)
	if a.Listen != "" {
		words = append(words, "on "+a.Listen)
	}
	if l := a.Limit; l != nil {
		words = append(words, limitText(l))
	}
	if a.Shadow {
		words = append(words, "(only counted)")
	}
	return strings.Join(words, " ")
}

func limitText(l *Limit) string {
	text := fmt.Sprintf("%d per %s by %s, burst %d", l.Count, l.Per, l.By, l.Burst)
	if l.Shared {
		text += ", shared"
	}
	return text
}

func pathText(p Path) string {
	if p.Kind == PathRegex {
		return "~" + p.Text
	}
	return p.Text
}

// ruleText is what a route matches: "/reports/ GET from web, header x-beta *".
func ruleText(r Rule) string {
	words := []string{pathText(r.Path)}
	if len(r.Methods) > 0 {
		words = append(words, strings.Join(r.Methods, ", "))
	}
	if len(r.From) > 0 {
		words = append(words, "from "+strings.Join(r.From, ", "))
	}
	return strings.Join(slices.Concat(words, matchTexts("header", r.Headers), matchTexts("cookie", r.Cookies), matchTexts("query", r.Query)), " ")
}

// matchTexts writes rules as the HCL does.
func matchTexts(kind string, matches []Match) []string {
	var texts []string
	for _, m := range matches {
		value := map[string]string{MatchExact: m.Text, MatchPresent: "*", MatchRegex: "~" + m.Text}[m.Kind]
		if m.Not {
			value = "!" + value
		}
		texts = append(texts, fmt.Sprintf("%s %s=%s", kind, m.Name, value))
	}
	return texts
}
