package xds

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/mesh"
)

// What a request meets among joined routes is what mesh.Explain says that it meets
// at the gateway and then at the callee, but where a route was left out, which is
// told.
func TestJoinedRoutesAgreeWithExplain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		g := gatewayOf(mesh.CertMeshCA, httpAndHTTPS())
		for range rapid.IntRange(1, 3).Draw(t, "gateway routes") {
			r := mesh.GatewayRoute{Host: "shop.example", Rule: drawRule(t, "gateway"), Targets: []mesh.Target{to("api", "", 100)}}
			r.Rewrite, r.Request = drawRewrite(t, r.Path), drawChange(t)
			g.Routes = append(g.Routes, r)
		}
		c := outside(g)
		for range rapid.IntRange(0, 3).Draw(t, "callee's routes") {
			r := mesh.Route{Rule: drawRule(t, "callee")}
			r.Rewrite = drawRewrite(t, r.Path)
			r.From = rapid.SampledFrom([]mesh.Names{nil, nil, {"public"}, {"web"}}).Draw(t, "from")
			c.Services["api"].Routes = append(c.Services["api"].Routes, r)
		}
		for range 20 {
			request := mesh.Request{
				Caller: "public", Callee: "api", Host: "shop.example",
				Method: rapid.SampledFrom([]string{"GET", "POST"}).Draw(t, "method"),
				Path: rapid.SampledFrom(texts).Draw(t, "path") +
					rapid.SampledFrom([]string{"", "x", "b/", "b/x", "7"}).Draw(t, "rest") +
					rapid.SampledFrom([]string{"", "?q=1", "?q=/a/b/"}).Draw(t, "query"),
				Headers: rapid.SampledFrom([]map[string]string{nil, {"x-a": "1"}, {"x-a": "2", "cookie": "c=1"}}).Draw(t, "headers"),
			}
			x, err := c.Explain(request)
			if err != nil {
				t.Fatal(err)
			}
			gatewayRoute, route, path, told := meet(c, g, x.Asked)
			if told {
				continue
			}
			if gatewayRoute != x.GatewayRoute || route != x.Route || path != x.Received.Path && gatewayRoute >= 0 {
				t.Fatalf("%s %s %v: routes %d and %d with %q, Explain says %d and %d with %q", request.Method, request.Path, request.Headers,
					gatewayRoute, route, path, x.GatewayRoute, x.Route, x.Received.Path)
			}
		}
	})
}

var texts = []string{"/", "/a/", "/a/b/", "/b/"}

func drawRule(t *rapid.T, what string) mesh.Rule {
	path := rapid.SampledFrom([]mesh.Path{
		{Kind: mesh.PathPrefix, Text: "/"}, {Kind: mesh.PathPrefix, Text: "/a/"}, {Kind: mesh.PathPrefix, Text: "/a/b/"},
		{Kind: mesh.PathPrefix, Text: "/b/"}, {Kind: mesh.PathExact, Text: "/a/x"}, {Kind: mesh.PathExact, Text: "/b/x"}, {Kind: mesh.PathExact, Text: "/x"},
		{Kind: mesh.PathRegex, Text: "/(a|b)/(.*)"}, {Kind: mesh.PathRegex, Text: "/a/[0-9]+"}, {Kind: mesh.PathRegex, Text: "/a/(b/)?x"},
	}).Draw(t, what+" path")
	return mesh.Rule{
		Path:    path,
		Methods: rapid.SampledFrom([]mesh.Names{nil, nil, {"GET"}, {"POST"}}).Draw(t, what+" methods"),
		Headers: rapid.SampledFrom([][]mesh.Match{nil, nil, {{Name: "X-A", Kind: mesh.MatchExact, Text: "1"}}, {{Name: "x-a", Kind: mesh.MatchPresent, Not: true}}}).Draw(t, what+" headers"),
		Cookies: rapid.SampledFrom([][]mesh.Match{nil, nil, nil, {{Name: "c", Kind: mesh.MatchPresent}}}).Draw(t, what+" cookies"),
		Query:   rapid.SampledFrom([][]mesh.Match{nil, nil, nil, {{Name: "q", Kind: mesh.MatchExact, Text: "1"}}}).Draw(t, what+" query"),
	}
}

func drawRewrite(t *rapid.T, p mesh.Path) string {
	if p.Kind == mesh.PathRegex {
		return rapid.SampledFrom([]string{"", "", `/a/\1`, `/z\0`}).Draw(t, "rewrite")
	}
	return rapid.SampledFrom([]string{"", "", "/", "/a/", "/a/b/"}).Draw(t, "rewrite")
}

func drawChange(t *rapid.T) *mesh.HeaderChange {
	return rapid.SampledFrom([]*mesh.HeaderChange{
		nil, nil, nil, {Set: map[string]string{"X-a": "1"}}, {Remove: mesh.Names{"x-A"}}, {Set: map[string]string{"Cookie": "c=2"}}, {Remove: mesh.Names{"cookie"}},
	}).Draw(t, "change")
}

// meet finds the joined routes that take a request, as Envoy does: the first one.
// It is told where one before could not be joined.
func meet(c *mesh.Config, g *mesh.Gateway, q mesh.Request) (gatewayRoute, route int, path string, told bool) {
	for i := range g.Routes {
		callee := c.Services["api"].Routes
		for n := range len(callee) + 1 {
			var r *mesh.Route
			route := -1
			if n < len(callee) {
				r, route = &callee[n], n
			}
			j, how := join("public", g, &g.Routes[i], r)
			switch {
			case how == unknown:
				told = true
			case how == fits && takes(j.rule, q):
				return i, route, changed(j, q.Path), told
			}
		}
	}
	return -1, -1, q.Path, told
}

// takes is how Envoy reads a rule: a header :path has the query, too.
func takes(r mesh.Rule, q mesh.Request) bool {
	path, query, _ := strings.Cut(q.Path, "?")
	headers := maps.Clone(q.Headers)
	if headers == nil {
		headers = map[string]string{}
	}
	headers[":path"] = q.Path
	arguments, _ := url.ParseQuery(query)
	cookies, _ := http.ParseCookie(q.Headers["cookie"])
	all := func(rules []mesh.Match, value func(string) (string, bool)) bool {
		return !slices.ContainsFunc(rules, func(m mesh.Match) bool { return !m.Takes(value(m.Name)) })
	}
	return r.Path.Takes(path) && (len(r.Methods) == 0 || slices.Contains(r.Methods, q.Method)) &&
		all(r.Headers, func(name string) (string, bool) { v, ok := headers[strings.ToLower(name)]; return v, ok }) &&
		all(r.Cookies, func(name string) (string, bool) {
			for _, c := range cookies {
				if c.Name == name {
					return c.Value, true
				}
			}
			return "", false
		}) &&
		all(r.Query, func(name string) (string, bool) { return arguments.Get(name), arguments.Has(name) })
}

// changed is what Envoy makes of a path.
func changed(j joined, asked string) string {
	path, query, found := strings.Cut(asked, "?")
	switch {
	case j.path.pattern != "":
		text := regexp.MustCompile(`\\([0-9])|\\(\\)`).ReplaceAllString(strings.ReplaceAll(j.path.to, "$", "$$"), "$${$1}$2")
		path = regexp.MustCompile(j.path.pattern).ReplaceAllString(path, strings.ReplaceAll(text, "${}", ""))
	case j.path.to != "":
		path = j.path.to + strings.TrimPrefix(path, j.rule.Path.Text)
	}
	if found {
		path += "?" + query
	}
	return path
}

// A pattern is moved to another prefix only where its beginning is plain text.
func TestWithPrefix(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ pattern, old, new, want string }{
		{"/api/v[0-9]+/.*", "/", "/out/", `/out/api/v(?:[0-9]+)(?:/)(?:(?-s:.*))`},
		{"/api/x", "/api/", "/", "/x"},
		{"/(a|b)/x", "/a/", "/", ""},
		{"/a|/b", "/", "/out/", "/out/(?:[ab])"},
		{"(?i)/api/x", "/api/", "/", ""},
		{".*", "/", "/out/", ""},
	} {
		got, ok := withPrefix(test.pattern, test.old, test.new)
		if ok != (test.want != "") || got != test.want {
			t.Errorf("%s for %s in place of %s: %q, %v, want %q", test.pattern, test.new, test.old, got, ok, test.want)
		}
	}
}
