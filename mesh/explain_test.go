package mesh_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/mesh"
)

func explained(t *testing.T, c *mesh.Config, r mesh.Request) (*mesh.Explanation, string) {
	t.Helper()
	x, err := c.Explain(r)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, l := range x.Lines {
		if l.Step != "calls" { // the same for all, and long
			lines = append(lines, l.Step+": "+l.Text)
		}
	}
	return x, strings.Join(lines, "\n")
}

func TestExplain(t *testing.T) {
	t.Parallel()
	const none = "timeout 15s (default), idle 5m (default), retry none (default)"
	for _, c := range []struct {
		name    string
		change  func(*mesh.Config)
		request mesh.Request
		want    mesh.Why
		path    string // as received
		lines   []string
	}{
		{name: "the manual's example", request: mesh.Request{Caller: "worker", Callee: "api", Method: "POST", Path: "/internal/sync"}, want: mesh.WhyAllow, path: "/internal/sync",
			lines: []string{
				"edge: worker names api as an upstream", `narrow: allow "worker" /internal/`,
				"route: default -> api@v1 (90), api@v2 (10)", "times: " + none, "to: app1 10.0.0.21, app2 10.0.0.22",
			}},
		{name: "a route", request: mesh.Request{Caller: "web", Callee: "api", Path: "/reports/7"}, want: mesh.WhyAllow, path: "/reports/7",
			lines: []string{
				"edge: web names api as an upstream", `narrow: allow "web" GET, POST any path`, "route: /reports/ -> api@v1 (90), api@v2 (10)",
				"times: timeout 30s (route), idle 5m (default), retry 3 on 5xx, reset (upstream)", "to: app1 10.0.0.21, app2 10.0.0.22",
			}},
		{name: "refused by the allow", request: mesh.Request{Caller: "worker", Callee: "api", Path: "/reports/7"}, want: mesh.WhyNarrowed, path: "/reports/7",
			lines: []string{"edge: worker names api as an upstream", `narrow: no allow "worker" admits it: /internal/`}},
		{name: "no edge", request: mesh.Request{Caller: "web", Callee: "postgres"}, want: mesh.WhyNoEdge,
			lines: []string{"edge: web does not name postgres as an upstream"}},
		{name: "a connection", request: mesh.Request{Caller: "worker", Callee: "postgres", Path: "/x", Method: "GET"}, want: mesh.WhyEdge,
			lines: []string{
				"edge: worker names postgres as an upstream", `narrow: nothing: postgres has no allow "worker"`,
				"times: timeout none (default), idle 1h (default), retry none (default)", "to: db1 10.0.0.31",
			}},
		{name: "an external", request: mesh.Request{Caller: "api", Callee: "stripe"}, want: mesh.WhyEdge, path: "/",
			lines: []string{
				"edge: api names stripe as an upstream", "narrow: nothing: stripe is an external",
				"times: timeout 5s (upstream), idle 5m (default), retry none (default)", "to: api.stripe.com:443",
			}},
		{name: "an operator", request: mesh.Request{Caller: "operator/anna", Callee: "postgres"}, want: mesh.WhyEdge,
			lines: []string{"edge: anna has access to postgres", `narrow: nothing: postgres has no allow "operator/anna"`, "to: db1 10.0.0.31"}},
		{name: "an operator without access", request: mesh.Request{Caller: "operator/anna", Callee: "redis"}, want: mesh.WhyNoEdge,
			lines: []string{"edge: anna has no access to redis"}},
		{name: "through a gateway, which rewrites", request: mesh.Request{Caller: "public", Callee: "api", Host: "Shop.example", Path: "/api//reports/7?a=/api/"}, want: mesh.WhyEdge, path: "/reports/7?a=/api/",
			lines: []string{
				"edge: gateway public leads to api", "gateway: shop.example/api/ -> api (100)", `narrow: nothing: api has no allow "public"`,
				"route: /reports/, asks for /reports/7?a=/api/ -> api@v1 (90), api@v2 (10)",
				"times: timeout 30s (route), idle 5m (default), retry none (default)", "to: app1 10.0.0.21, app2 10.0.0.22",
			}},
		{name: "a gateway's route to another service", request: mesh.Request{Caller: "public", Callee: "web", Host: "shop.example", Path: "/api/x"}, want: mesh.WhyOther,
			lines: []string{"edge: gateway public leads to web", "gateway: shop.example/api/ -> api (100)"}, path: "/api/x"},
		{name: "without a host, the route that leads there", request: mesh.Request{Caller: "public", Callee: "web", Path: "/api/x"}, want: mesh.WhyEdge, path: "/api/x",
			lines: []string{
				"edge: gateway public leads to web", "gateway: shop.example/ -> web (100)", `narrow: nothing: web has no allow "public"`,
				"route: default -> web (100)", "times: " + none, "to: app1 10.0.0.21, app2 10.0.0.22",
			}},
		{name: "an unknown host", request: mesh.Request{Caller: "public", Callee: "web", Host: "x.example"}, want: mesh.WhyNoRoute, path: "/",
			lines: []string{"edge: gateway public leads to web", "gateway: no route of public takes it: 404"}},
		{name: "the route answers", change: func(c *mesh.Config) { c.Services["api"].Routes[0].Respond = &mesh.Respond{Status: 404} },
			request: mesh.Request{Caller: "worker", Callee: "api", Path: "/reports/7"}, want: mesh.WhyAnswered, path: "/reports/7",
			lines: []string{"edge: worker names api as an upstream", "route: /reports/: respond 404 Not Found"}},
		{name: "allows judge what the route made of the request", change: func(c *mesh.Config) {
			r := &c.Services["api"].Routes[0]
			r.Rewrite, r.Request = "/internal/reports/", &mesh.HeaderChange{Set: map[string]string{"X-Team": "shop"}, Remove: mesh.Names{"X-Debug"}}
			c.Services["api"].Allows[1].Headers = []mesh.Match{{Name: "x-debug", Kind: mesh.MatchPresent, Not: true}, {Name: "x-team", Kind: mesh.MatchExact, Text: "shop"}}
		}, request: mesh.Request{Caller: "worker", Callee: "api", Path: "/reports/7", Headers: map[string]string{"x-debug": "1"}}, want: mesh.WhyAllow, path: "/internal/reports/7",
			lines: []string{
				"edge: worker names api as an upstream", `narrow: allow "worker" /internal/ header x-debug=!* header x-team=shop`,
				"route: /reports/, asks for /internal/reports/7 -> api@v1 (90), api@v2 (10)",
				"times: timeout 30s (route), idle 5m (default), retry none (default)", "to: app1 10.0.0.21, app2 10.0.0.22",
			}},
		{name: "groups of a regular expression", change: func(c *mesh.Config) {
			c.Services["api"].Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathRegex, Text: "/v([0-9]+)/(.*)"}}, To: "v2", Handling: mesh.Handling{Rewrite: `/\2/$1\\\1`}}}
		}, request: mesh.Request{Caller: "web", Callee: "api", Path: "/v7/a/b"}, want: mesh.WhyAllow, path: `/a/b/$1/7`,
			lines: []string{
				"edge: web names api as an upstream", `narrow: allow "web" GET, POST any path`, `route: ~/v([0-9]+)/(.*), asks for /a/b/$1/7 -> api@v2 (100)`,
				"times: timeout 2s (upstream), idle 5m (default), retry 3 on 5xx, reset (upstream)", "to: app2 10.0.0.22",
			}},
		{name: "a shadow that counts", change: func(c *mesh.Config) { c.Services["api"].Allows[0].Shadow = true },
			request: mesh.Request{Caller: "web", Callee: "api", Method: "PUT"}, want: mesh.WhyShadow, path: "/",
			lines: []string{
				"edge: web names api as an upstream", `narrow: every allow "web" is a shadow, and none admits it: counted, not refused`, "route: default -> api@v1 (90), api@v2 (10)",
				"times: timeout 2s (upstream), idle 5m (default), retry 3 on 5xx, reset (upstream)", "to: app1 10.0.0.21, app2 10.0.0.22",
			}},
		{name: "explicit", change: func(c *mesh.Config) { c.Authorization = mesh.Explicit },
			request: mesh.Request{Caller: "public", Callee: "web"}, want: mesh.WhyNoAllow, path: "/",
			lines: []string{"edge: gateway public leads to web", "gateway: shop.example/ -> web (100)", `narrow: web has no allow "public", and the fleet's authorization is explicit`}},
		{name: "the caller's only listen, and failover", change: func(c *mesh.Config) {
			c.Services["web"].Listens = []mesh.Listen{{Name: "public", Protocol: "http"}, {Name: "admin", Protocol: "grpc"}}
			delete(c.Gateways, "public")
			delete(c.Edges, "public")
			c.Edges["worker"]["web:admin"] = edge(mesh.Patience{})
			c.Edges["worker"]["web:admin"].Failover.To = []string{"api"}
		}, request: mesh.Request{Caller: "worker", Callee: "web", Path: "/pkg.Service/Call"}, want: mesh.WhyEdge, path: "/pkg.Service/Call",
			lines: []string{
				"edge: worker names web, listen admin, as an upstream", `narrow: nothing: web has no allow "worker"`, "route: default -> web (100)",
				"times: timeout none (default), idle 5m (default), retry none (default)", "to: app1 10.0.0.21, app2 10.0.0.22", "failover: then api",
			}},
	} {
		config := shop()
		if c.change != nil {
			c.change(config)
		}
		if err := config.Validate(); err != nil && c.want != mesh.WhyNoAllow {
			t.Errorf("%s: %v", c.name, err)
		}
		x, lines := explained(t, config, c.request)
		if x.Verdict.Why != c.want || x.Received.Path != c.path {
			t.Errorf("%s: got %+v for %s, want %s for %s", c.name, x.Verdict, x.Received.Path, c.want, c.path)
		}
		if want := strings.Join(c.lines, "\n"); lines != want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", c.name, lines, want)
		}
	}
}

func TestExplainSaysHowItCalls(t *testing.T) {
	t.Parallel()
	x, err := shop().Explain(mesh.Request{Caller: "worker", Callee: "api", Path: "/internal/"})
	if err != nil {
		t.Fatal(err)
	}
	want := "connect within 1s, least_request, panic below 0 %, ejects for 30s after 5 errors, at most 50 %, judged every 10s, " +
		"at most 1024 connections, 1024 requests, 1024 waiting, 3 retries, leaves its zone below 70 % healthy"
	for _, l := range x.Lines {
		if l.Step == "calls" && l.Text != want {
			t.Errorf("got  %s\nwant %s", l.Text, want)
		}
	}
}

func TestExplainUnknownNames(t *testing.T) {
	t.Parallel()
	for request, want := range map[[2]string]string{
		{"weg", "api"}:           "nobody who calls is named weg",
		{"operator/bert", "api"}: "nobody who calls is named operator/bert",
		{"web", "apo"}:           "nothing is named apo",
		{"web", "worker"}:        `worker does not listen on ""`,
	} {
		if _, err := shop().Explain(mesh.Request{Caller: request[0], Callee: request[1]}); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// The order of a service's routes is the one in which they are tried.
func TestExplainTakesTheFirstRoute(t *testing.T) {
	t.Parallel()
	c := shop()
	c.Services["api"].Routes = []mesh.Route{
		{Rule: rule("/a/b"), To: "v2"},
		{Rule: mesh.Rule{Path: prefix("/a/"), Query: []mesh.Match{{Name: "debug", Kind: mesh.MatchExact, Text: "1"}}, From: mesh.Names{"web"}}, To: "v2"},
		{Rule: mesh.Rule{Path: prefix("/a/"), Cookies: []mesh.Match{{Name: "beta", Kind: mesh.MatchPresent}}}, To: "v2"},
		{Rule: rule("/a/"), To: "v1"},
		{Rule: rule("~/a.*"), To: "v2"},
	}
	for request, want := range map[string]string{"/a/b": "/a/b", "/a/c": "/a/", "/ab": "~/a.*", "/b": "default", "/a/c?debug=1": "/a/ from web query debug=1", "/a/c?debug=2": "/a/"} {
		x, _ := explained(t, c, mesh.Request{Caller: "web", Callee: "api", Path: request})
		for _, l := range x.Lines {
			if l.Step == "route" && !strings.HasPrefix(l.Text, want+" ->") {
				t.Errorf("%s: got %s, want %s", request, l.Text, want)
			}
		}
	}
	x, lines := explained(t, c, mesh.Request{Caller: "web", Callee: "api", Path: "/a/c", Headers: map[string]string{"Cookie": "a=1; beta="}})
	if x.Route < 0 || len(c.Services["api"].Routes[x.Route].Cookies) != 1 {
		t.Error(lines)
	}
}

// Of a gateway's host names the best one counts, with its routes only.
func TestExplainGatewayHosts(t *testing.T) {
	t.Parallel()
	c := shop()
	to := []mesh.Target{{Service: "web", Percent: 100}}
	routes := []mesh.GatewayRoute{
		{Host: "x.shop.example", Rule: rule("/b/"), Targets: to}, {Host: "*.shop.example", Rule: rule("/a/"), Targets: to}, {Host: "*.example", Rule: rule("/"), Targets: to},
	}
	c.Gateways["public"].Routes = routes
	for request, want := range map[string]string{
		"x.shop.example/b/": "x.shop.example/b/", "x.shop.example/a/": "", "y.shop.example/a/1": "*.shop.example/a/",
		"y.shop.example/b/": "", "shop.example/b/": "*.example/", "example/": "",
	} {
		host, path, _ := strings.Cut(request, "/")
		x, _ := explained(t, c, mesh.Request{Caller: "public", Callee: "web", Host: host, Path: "/" + path})
		got := ""
		if x.GatewayRoute >= 0 {
			got = routes[x.GatewayRoute].Host + routes[x.GatewayRoute].Path.Text
		}
		if got != want || (want == "") != (x.Verdict.Why == mesh.WhyNoRoute) {
			t.Errorf("%s: got %q %+v, want %q", request, got, x.Verdict, want)
		}
	}
}

// A path in its normal form is its own, and no longer leaves where it is.
func TestPathsHaveOneForm(t *testing.T) {
	t.Parallel()
	c := shop()
	rapid.Check(t, func(rt *rapid.T) {
		path := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"/", "a", ".", "..", "%2e", "%2F", "%5c", `\`, "%", "%25", "%zz", "%41", "%c3", "é"})).Draw(rt, "path"), "")
		x, err := c.Explain(mesh.Request{Caller: "web", Callee: "api", Path: path})
		if err != nil {
			rt.Fatal(err)
		}
		once := x.Asked.Path
		again, err := c.Explain(x.Asked)
		if err != nil || again.Asked.Path != once || !strings.HasPrefix(once, "/") || strings.Contains(once+"/", "/../") || strings.Contains(once, "//") && once != "//" {
			rt.Fatalf("%q becomes %q, then %q (%v)", path, once, again.Asked.Path, err)
		}
	})
}
