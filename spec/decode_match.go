package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// headerMatches, cookieMatches and queryMatches read the rules of a route or
// allow, sorted by name.
func (d *decoder) headerMatches(b *block) []Match { return d.matches(b, "headers", d.headerName) }

func (d *decoder) cookieMatches(b *block) []Match {
	return d.matches(b, "cookies", func(it item, name string) (string, bool) {
		if !d.pattern(cookieName).MatchString(name) {
			d.wrong(it, fmt.Sprintf("%q is not a cookie's name.", name), "")
			return "", false
		}
		return name, true
	})
}

func (d *decoder) queryMatches(b *block) []Match {
	return d.matches(b, "query", func(it item, name string) (string, bool) {
		if name == "" || strings.ContainsAny(name, "&=#?") || strings.ContainsFunc(name, isControl) {
			d.wrong(it, fmt.Sprintf("%q is not the name of a query argument.", name), "")
			return "", false
		}
		return name, true
	})
}

// matches reads a map from names to rules. The reader of names normalises them.
func (d *decoder) matches(b *block, name string, read func(item, string) (string, bool)) []Match {
	b.arg(name, typeMatch)
	members := d.members(b, name)
	var rules []Match
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(members)) {
		it := members[key]
		normal, ok := read(it, key)
		if !ok {
			continue
		}
		if seen[normal] {
			d.add(problem{code: "NM0107", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q stands here twice: upper and lower case are the same.", normal), hint: "keep one"})
			continue
		}
		if rule, ok := d.matchRule(it.atValue()); ok {
			rule.Name, seen[normal] = normal, true
			rules = append(rules, rule)
		}
	}
	slices.SortFunc(rules, func(a, b Match) int { return strings.Compare(a.Name, b.Name) })
	return rules
}

// matchRule reads "x" (exact), "*" (present), "~RE2" (the whole value) or one of
// them after "!" (its opposite).
func (d *decoder) matchRule(it item) (Match, bool) {
	text, ok := d.asText(it)
	if !ok {
		return Match{}, false
	}
	rule, offset := Match{}, 0
	if strings.HasPrefix(text, "!") {
		rule.Not, offset = true, 1
	}
	switch rest := text[offset:]; {
	case rule.Not && (rest == "" || rest[0] == '!'):
		d.wrong(it, fmt.Sprintf("%q is no rule: one \"!\" stands before a value, \"*\" or \"~RE2\".", text), "")
		return Match{}, false
	case rest == "*":
		rule.Kind = "present"
	case strings.HasPrefix(rest, "~"):
		if _, ok := d.regex(it, offset+1); !ok {
			return Match{}, false
		}
		rule.Kind, rule.Text = "regex", rest[1:]
	case strings.ContainsFunc(rest, isControl):
		d.wrong(it, fmt.Sprintf("%q holds a control character.", text), "")
		return Match{}, false
	default:
		rule.Kind, rule.Text = "exact", rest
	}
	return rule, true
}

// headerName reads the name of a request's header, in lower case. The mesh refuses
// requests that have one with "_".
func (d *decoder) headerName(it item, name string) (string, bool) {
	normal, ok := d.answerHeaderName(it, name)
	if ok && strings.Contains(name, "_") {
		d.wrongWith(it, fmt.Sprintf("%q is no header of requests: the mesh refuses those with \"_\" in a header's name.", name),
			fmt.Sprintf("did you mean %q?", strings.ReplaceAll(name, "_", "-")))
		return "", false
	}
	return normal, ok
}

// answerHeaderName reads the name of an answer's header, in lower case.
func (d *decoder) answerHeaderName(it item, name string) (string, bool) {
	if !d.pattern(cookieName).MatchString(name) {
		detail := fmt.Sprintf("%q is not a header's name.", name)
		if strings.HasPrefix(name, ":") {
			detail = fmt.Sprintf("%q is no header: method, path and host have rules of their own.", name)
		}
		d.wrong(it, detail, "")
		return "", false
	}
	return strings.ToLower(name), true
}

// headerNames reads a list of them.
func (d *decoder) headerNames(b *block, name string) []string {
	texts, entries := d.texts(b, name)
	var names []string
	for i, text := range texts {
		if header, ok := d.headerName(entries[i], text); ok {
			names = append(names, header)
		}
	}
	return names
}

// methods reads a list of HTTP methods, in upper case and each once.
func (d *decoder) methods(b *block, name string) []string {
	texts, entries := d.texts(b, name)
	var methods []string
	for i, text := range texts {
		method := strings.ToUpper(text)
		if !slices.Contains(httpMethods(), method) {
			d.add(problem{code: "NM0105", rng: entries[i].rng, block: b.title, detail: fmt.Sprintf("%q is not an HTTP method.", text),
				hint: didYouMean(method, httpMethods(), "the methods are")})
			continue
		}
		if !slices.Contains(methods, method) {
			methods = append(methods, method)
		}
	}
	return methods
}

// httpMethods are those of RFC 9110, 5789 and WebDAV (RFC 4918, 3253, 5323), and
// the PURGE of caches.
func httpMethods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
		"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE"}
}
