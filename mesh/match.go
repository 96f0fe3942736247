package mesh

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func isHTTP(protocol string) bool { return protocol != "tcp" && protocol != "redis" }

// normal is the request in the form in which rules are compared with it.
func (r Request) normal() Request {
	r.Method = strings.ToUpper(r.Method)
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	plain, query, found := strings.Cut(r.Path, "?")
	r.Path = normalPath(plain)
	if found {
		r.Path += "?" + query
	}
	headers := make(map[string]string, len(r.Headers))
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		headers[strings.ToLower(name)] = r.Headers[name]
	}
	r.Headers = headers
	r.Host = strings.ToLower(r.Host)
	return r
}

// normalPath is the form in which proxies compare paths: absolute, without "//",
// "." and "..", with slashes and what needs no code not encoded, and what a URL
// does not have encoded (RFC 3986, 6.2.2). A percent sign that begins no code becomes one, or else it could begin
// one with what is decoded after it.
func normalPath(text string) string {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		code, err := strconv.ParseUint(text[min(i+1, len(text)):min(i+3, len(text))], 16, 8)
		switch {
		case c == '\\':
			plain.WriteByte('/')
		case strings.IndexByte("\"<>^`{|}", c) >= 0:
			fmt.Fprintf(&plain, "%%%02X", c)
		case c != '%':
			plain.WriteByte(c)
		case err != nil || i+2 >= len(text):
			plain.WriteString("%25")
		case code == '/' || code == '\\':
			plain.WriteByte('/')
			i += 2
		case code >= 'a' && code <= 'z' || code >= 'A' && code <= 'Z' || code >= '0' && code <= '9' || strings.IndexByte("-._~", byte(code)) >= 0:
			plain.WriteByte(byte(code))
			i += 2
		default:
			plain.WriteString(text[i : i+3])
			i += 2
		}
	}
	return withoutDots(plain.String())
}

// withoutDots resolves "." and ".." (RFC 3986, 5.2.4), of which ".." leaves an
// empty part as it leaves any other, and then takes out the empty parts. Of a path
// that is nothing but slashes, two stay: so do Envoy's.
func withoutDots(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var kept []string
	for i, part := range parts {
		dots := part == "." || part == ".."
		if part == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
		if !dots {
			kept = append(kept, part)
		} else if i == len(parts)-1 {
			kept = append(kept, "") // it ends in a slash
		}
	}
	last := len(kept) - 1
	clean := slices.DeleteFunc(slices.Clone(kept[:last]), func(part string) bool { return part == "" })
	if last > 0 && len(clean) == 0 && kept[last] == "" {
		return "//"
	}
	return "/" + strings.Join(append(clean, kept[last]), "/")
}

// split is the path and the query.
func (r Request) split() (path, query string) {
	path, query, _ = strings.Cut(r.Path, "?")
	return path, query
}

// header, cookie and argument are values by name, and whether there is one.
func (r Request) header(name string) (string, bool) {
	value, ok := r.Headers[strings.ToLower(name)]
	return value, ok
}

func (r Request) cookie(name string) (string, bool) {
	cookies, _ := http.ParseCookie(r.Headers["cookie"])
	for _, c := range cookies {
		if c.Name == name {
			return c.Value, true
		}
	}
	return "", false
}

// argument is the first of its name, as it is written: proxies do not decode them.
func (r Request) argument(name string) (string, bool) {
	_, query := r.split()
	for query != "" {
		var part string
		part, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(part, "="); key == name {
			return value, true
		}
	}
	return "", false
}

// matches says whether a route takes a request of HTTP.
func (r Rule) matches(q Request) bool {
	path, _ := q.split()
	return r.Path.Takes(path) &&
		(len(r.From) == 0 || slices.Contains(r.From, q.Caller)) &&
		(len(r.Methods) == 0 || slices.Contains(r.Methods, q.Method)) &&
		matchAll(r.Headers, q.header) && matchAll(r.Cookies, q.cookie) && matchAll(r.Query, q.argument)
}

func matchAll(matches []Match, value func(name string) (string, bool)) bool {
	return !slices.ContainsFunc(matches, func(m Match) bool { return !m.Takes(value(m.Name)) })
}

// Takes says whether a value, which may be missing, is as asked for. The opposite
// of a rule takes what the rule does not: a missing value, too.
func (m Match) Takes(value string, given bool) bool {
	is := given
	switch m.Kind {
	case MatchExact:
		is = given && value == m.Text
	case MatchRegex:
		is = given && wholly(m.Text, value)
	}
	return is != m.Not
}

// Takes says whether a path in its normal form is as asked for.
func (p Path) Takes(path string) bool {
	switch p.Kind {
	case PathExact:
		return path == p.Text
	case PathPrefix:
		return strings.HasPrefix(path, p.Text)
	default:
		return wholly(p.Text, path)
	}
}

// wholly says whether a pattern takes the whole of a text. One that is none,
// which Validate refuses, takes nothing.
func wholly(pattern, text string) bool {
	re, err := regexp.Compile(`^(?:` + pattern + `)$`)
	return err == nil && re.MatchString(text)
}

var groupPattern = regexp.MustCompile(`\\([0-9\\])|\$`)

// Rewritten is what a route makes of a path that it takes.
func (r Rule) Rewritten(path, rewrite string) string {
	switch {
	case rewrite == "":
		return path
	case r.Path.Kind == PathPrefix:
		return rewrite + strings.TrimPrefix(path, r.Path.Text)
	case r.Path.Kind == PathExact:
		return rewrite
	}
	re, err := regexp.Compile(`^(?:` + r.Path.Text + `)$`)
	if err != nil {
		return path
	}
	template := groupPattern.ReplaceAllStringFunc(rewrite, func(code string) string {
		switch code {
		case "$":
			return "$$"
		case `\\`:
			return `\`
		default:
			return "${" + code[1:] + "}"
		}
	})
	return re.ReplaceAllString(path, template)
}

// through is a request after a route has changed it.
func (r Rule) through(q Request, h Handling) Request {
	path, query, found := strings.Cut(q.Path, "?")
	q.Path = r.Rewritten(path, h.Rewrite)
	if found {
		q.Path += "?" + query
	}
	if h.Request != nil {
		q.Headers = maps.Clone(q.Headers)
		for name, value := range h.Request.Set {
			q.Headers[strings.ToLower(name)] = value
		}
		for _, name := range h.Request.Remove {
			delete(q.Headers, strings.ToLower(name))
		}
	}
	return q
}
