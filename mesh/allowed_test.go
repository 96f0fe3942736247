package mesh_test

import (
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

func TestShopIsValid(t *testing.T) {
	t.Parallel()
	if err := shop().Validate(); err != nil {
		t.Error(err)
	}
}

// "Deny by default, declared edges allow": the ten edges of the shop, what
// narrows them, and nothing else.
func TestAllowedInTheShop(t *testing.T) {
	t.Parallel()
	c := shop()
	for _, caller := range []string{"web", "api", "worker", "postgres", "redis", "public", "stripe", "operator/anna", "operator/bert", "nobody"} {
		for _, callee := range []string{"web", "api", "worker", "postgres", "redis", "stripe", "public"} {
			_, declared := c.Edges[caller][callee]
			access := caller == "operator/anna" && (callee == "postgres" || callee == "api")
			got := c.Allowed(mesh.Request{Caller: caller, Callee: callee, Path: "/internal/"})
			if got.Allowed != (declared || access) {
				t.Errorf("%s -> %s: %+v", caller, callee, got)
			}
		}
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	type allow = mesh.Allow
	get, internal := mesh.Names{"GET"}, []mesh.Path{prefix("/internal/")}
	explicit := func(c *mesh.Config) { c.Authorization = mesh.Explicit }
	named := func(c *mesh.Config) { // web calls the listen public, the gateway admin
		c.Services["api"].Listens = []mesh.Listen{{Name: "public", Protocol: "http"}, {Name: "raw", Protocol: "tcp"}}
		c.Edges["web"] = map[string]*mesh.Edge{"api:public": edge(mesh.Patience{}), "api:raw": edge(mesh.Patience{})}
	}
	for _, c := range []struct {
		name    string
		change  func(*mesh.Config)
		allows  []mesh.Allow // of api
		request mesh.Request // of web to api, unless it says so
		want    mesh.Why
		by      int
		counted bool
	}{
		{name: "nobody narrows", want: mesh.WhyEdge, by: -1},
		{name: "another caller's allow", allows: []allow{{Caller: "worker", Methods: get}}, want: mesh.WhyEdge, by: -1},
		{name: "its own", allows: []allow{{Caller: "worker"}, {Caller: "web"}}, want: mesh.WhyAllow, by: 1},
		{name: "a method", allows: []allow{{Caller: "web", Methods: get}}, request: mesh.Request{Method: "get"}, want: mesh.WhyAllow},
		{name: "another method", allows: []allow{{Caller: "web", Methods: get}}, request: mesh.Request{Method: "POST"}, want: mesh.WhyNarrowed, by: -1},
		{name: "below a prefix", allows: []allow{{Caller: "web", Paths: internal}}, request: mesh.Request{Path: "/internal/sync?x=1"}, want: mesh.WhyAllow},
		{name: "the prefix without its slash", allows: []allow{{Caller: "web", Paths: internal}}, request: mesh.Request{Path: "/internal"}, want: mesh.WhyNarrowed, by: -1},
		{name: "out of the prefix by dots", allows: []allow{{Caller: "web", Paths: internal}}, request: mesh.Request{Path: "/internal/../admin"}, want: mesh.WhyNarrowed, by: -1},
		{name: "out of it by encoded dots and slashes", allows: []allow{{Caller: "web", Paths: internal}}, request: mesh.Request{Path: "/internal/%2e%2E%2fadmin"}, want: mesh.WhyNarrowed, by: -1},
		{name: "into it with two slashes", allows: []allow{{Caller: "web", Paths: internal}}, request: mesh.Request{Path: "//internal//x"}, want: mesh.WhyAllow},
		{name: "in the query only", allows: []allow{{Caller: "web", Paths: internal}}, request: mesh.Request{Path: "/x?/internal/"}, want: mesh.WhyNarrowed, by: -1},
		{name: "a regular expression is of the whole path", allows: []allow{{Caller: "web", Paths: []mesh.Path{{Kind: mesh.PathRegex, Text: "/v[0-9]+"}}}}, request: mesh.Request{Path: "/v1/x"}, want: mesh.WhyNarrowed, by: -1},
		{name: "one of the paths", allows: []allow{{Caller: "web", Paths: []mesh.Path{{Kind: mesh.PathExact, Text: "/a"}, {Kind: mesh.PathRegex, Text: "/b|/c"}}}}, request: mesh.Request{Path: "/c"}, want: mesh.WhyAllow},
		{name: "a header", allows: []allow{{Caller: "web", Headers: []mesh.Match{{Name: "x-team", Kind: mesh.MatchExact, Text: "shop"}}}}, request: mesh.Request{Headers: map[string]string{"X-Team": "shop"}}, want: mesh.WhyAllow},
		{name: "all of method, path and header", allows: []allow{{Caller: "web", Methods: get, Paths: internal, Headers: []mesh.Match{{Name: "x", Kind: mesh.MatchPresent}}}}, request: mesh.Request{Path: "/internal/"}, want: mesh.WhyNarrowed, by: -1},
		{name: "a missing header is the opposite of a value", allows: []allow{{Caller: "web", Headers: []mesh.Match{{Name: "x", Kind: mesh.MatchExact, Text: "1", Not: true}}}}, want: mesh.WhyAllow},
		{name: "several are added up", allows: []allow{{Caller: "web", Methods: get}, {Caller: "web", Paths: internal}}, request: mesh.Request{Method: "POST", Path: "/internal/x"}, want: mesh.WhyAllow, by: 1},
		{name: "and not mixed", allows: []allow{{Caller: "web", Methods: get}, {Caller: "web", Paths: internal}}, request: mesh.Request{Method: "POST", Path: "/x"}, want: mesh.WhyNarrowed, by: -1},

		{name: "explicit: an edge alone is not enough", change: explicit, want: mesh.WhyNoAllow, by: -1},
		{name: "explicit: an allow", change: explicit, allows: []allow{{Caller: "web"}}, want: mesh.WhyAllow},
		{name: "explicit: an allow without an edge", change: explicit, allows: []allow{{Caller: "redis"}}, request: mesh.Request{Caller: "redis"}, want: mesh.WhyNoEdge, by: -1},
		{name: "explicit: gateways need one", change: explicit, request: mesh.Request{Caller: "public"}, want: mesh.WhyNoAllow, by: -1},
		{name: "explicit: an operator's access counts as one", change: explicit, request: mesh.Request{Caller: "operator/anna"}, want: mesh.WhyEdge, by: -1},
		{name: "explicit: externals allow nothing", change: explicit, request: mesh.Request{Caller: "api", Callee: "stripe"}, want: mesh.WhyEdge, by: -1},
		{name: "an allow narrows an operator", allows: []allow{{Caller: "operator/anna", Methods: get}}, request: mesh.Request{Caller: "operator/anna", Method: "PUT"}, want: mesh.WhyNarrowed, by: -1},

		{name: "a shadow that admits", allows: []allow{{Caller: "web", Methods: get, Shadow: true}}, want: mesh.WhyShadow},
		{name: "a shadow that would refuse", allows: []allow{{Caller: "web", Methods: get, Shadow: true}}, request: mesh.Request{Method: "PUT"}, want: mesh.WhyShadow, by: -1, counted: true},
		{name: "explicit: a shadow is an allow", change: explicit, allows: []allow{{Caller: "web", Methods: get, Shadow: true}}, request: mesh.Request{Method: "PUT"}, want: mesh.WhyShadow, by: -1, counted: true},
		{name: "a shadow beside another one opens nothing", allows: []allow{{Caller: "web", Methods: get}, {Caller: "web", Paths: internal, Shadow: true}}, request: mesh.Request{Method: "PUT", Path: "/internal/"}, want: mesh.WhyNarrowed, by: -1},

		{name: "a listen that it has an edge to", change: named, request: mesh.Request{Listen: "raw"}, want: mesh.WhyEdge, by: -1},
		{name: "one that it has none to", change: named, request: mesh.Request{Caller: "worker", Listen: "raw"}, want: mesh.WhyNoEdge, by: -1},
		{name: "without a listen the first is asked", change: named, want: mesh.WhyEdge, by: -1},
		{name: "narrowed to one listen", change: named, allows: []allow{{Caller: "web", Listen: "public"}}, want: mesh.WhyAllow},
		{name: "narrowed to the other", change: named, allows: []allow{{Caller: "web", Listen: "public"}}, request: mesh.Request{Listen: "raw"}, want: mesh.WhyNarrowed, by: -1},
		{name: "a connection is no GET", change: named, allows: []allow{{Caller: "web", Methods: get}}, request: mesh.Request{Listen: "raw", Method: "GET"}, want: mesh.WhyNarrowed, by: -1},
		{name: "a connection is admitted as a whole", change: named, allows: []allow{{Caller: "web"}}, request: mesh.Request{Listen: "raw"}, want: mesh.WhyAllow},
		{name: "no such listen", request: mesh.Request{Listen: "admin"}, want: mesh.WhyUnknown, by: -1},
		{name: "no such service", request: mesh.Request{Callee: "apo"}, want: mesh.WhyUnknown, by: -1},
	} {
		config := shop()
		config.Services["api"].Allows = c.allows
		if c.change != nil {
			c.change(config)
		}
		r := c.request
		if r.Caller == "" {
			r.Caller = "web"
		}
		if r.Callee == "" {
			r.Callee = "api"
		}
		got := config.Allowed(r)
		want := mesh.Verdict{Allowed: c.want == mesh.WhyEdge || c.want == mesh.WhyAllow || c.want == mesh.WhyShadow, Why: c.want, Allow: c.by, Counted: c.counted}
		if got != want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, want)
		}
	}
}
