package xds

import (
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

func below(path string) mesh.Rule {
	return mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: path}}
}

// Each thing that a route may say, and whose patience acts on it. What routes match
// is asked of Envoy itself: see TestEnvoyRoutesAsExplained.
func TestRoutes(t *testing.T) {
	api := service(versions("v1", "v2"), mesh.Listen{Protocol: "http"})
	api.Split = map[string]mesh.Percent{"v1": 99.5, "v2": 0.5}
	handled := func(path string, h mesh.Handling) mesh.Route { return mesh.Route{Rule: below(path), Handling: h} }
	others := handled("/others/", mesh.Handling{})
	others.From = mesh.Names{"worker"}
	api.Routes = []mesh.Route{
		handled("/moved/", mesh.Handling{Redirect: &mesh.Redirect{To: "https://new.example/?a=100%", Status: 308}}),
		handled("/answer/", mesh.Handling{Respond: &mesh.Respond{Status: 451, Body: "no\n"}, Response: &mesh.HeaderChange{Set: map[string]string{"Retry-After": "1"}}}),
		{Rule: below("/copied/"), To: "v1", Mirror: &mesh.Mirror{Version: "v2", Percent: 0.25}},
		handled("/slow/", mesh.Handling{Patience: mesh.Patience{Timeout: new(seconds(60)), IdleTimeout: new(seconds(0))}}),
		handled("/again/", mesh.Handling{Patience: mesh.Patience{Retry: &mesh.Retry{Attempts: 5, On: mesh.Names{"reset", "503"}, PerTry: new(seconds(2)), Backoff: mesh.Duration(10 * time.Millisecond), Budget: 50, Hedge: true}}}),
		handled("/limited/", mesh.Handling{Limit: &mesh.Limit{Count: 100, Per: seconds(60), Burst: 10, By: "caller"}}),
		handled("/sticky/", mesh.Handling{Sticky: "version"}),
		handled("/host/", mesh.Handling{Rewrite: "/", Request: &mesh.HeaderChange{Set: map[string]string{"Host": "inner.example", "x-empty": ""}, Remove: mesh.Names{"X-Debug", "host"}}}),
		others,
	}
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "worker": service(on("app2")), "api": api})
	calls(c, "web", "api")
	calls(c, "worker", "api")
	c.Edges["web"]["api"].Timeout = new(seconds(2))
	in := outboundInput(t, c)
	calling(in, "web", "api")
	golden(t, "outbound_routes", Build(in), only("RouteConfiguration *"))
}

// What Envoy has no match for is left out, and told.
func TestRouteWithoutMatch(t *testing.T) {
	api := service(on("app2"), mesh.Listen{Protocol: "grpc"})
	api.Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathRegex, Text: "/a"}, Query: []mesh.Match{{Name: "q", Kind: mesh.MatchRegex, Text: "1|2", Not: true}}}}}
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "api": api})
	calls(c, "web", "api")
	in := outboundInput(t, c)
	calling(in, "web", "api")
	golden(t, "outbound_unmatched", Build(in), only("RouteConfiguration *"))
}
