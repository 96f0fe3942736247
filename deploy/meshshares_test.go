package deploy

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/mesh"
)

// A plan that sends calls to a version of which no copy is ready says so; not of
// what went there already, nor of a version that comes with the plan.
func TestCallsToNobody(t *testing.T) {
	const said = "api: 10 % of the calls would be answered 503: of 1 copy of api@v2 none is ready (`nixmesh mesh status` says why)"
	two := func(first, second mesh.Percent) *mesh.Config {
		c := shopMesh(2e9, "api", "redis")
		c.Services["api"].Versions = []mesh.Version{{Name: "v1", Hosts: mesh.Names{"app2"}}, {Name: "v2", Hosts: mesh.Names{"db1"}}}
		c.Services["api"].Split = map[string]mesh.Percent{"v1": first, "v2": second}
		return c
	}
	routed := two(100, 0)
	routed.Services["api"].Routes = []mesh.Route{{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/new/"}}, To: "v2"}}
	one := shopMesh(2e9, "api")
	one.Services["api"].Versions = two(100, 0).Services["api"].Versions[:1]
	one.Services["api"].Split = map[string]mesh.Percent{"v1": 100}
	over := two(90, 10)
	over.Edges["web"]["api"].Failover.To = mesh.Names{"redis"}
	pipe := func(c *mesh.Config) *mesh.Config {
		c.Services["api"].Listens = []mesh.Listen{{Protocol: "tcp"}}
		return c
	}
	for name, c := range map[string]struct {
		live, next *mesh.Config
		state      string
		want       []string
	}{
		"more":             {two(100, 0), two(90, 10), agentapi.EndpointUnhealthy, []string{said}},
		"draining":         {two(100, 0), two(90, 10), agentapi.EndpointDraining, []string{said}},
		"ready":            {two(100, 0), two(90, 10), agentapi.EndpointHealthy, nil},
		"less than it had": {two(80, 20), two(90, 10), agentapi.EndpointUnhealthy, nil},
		"comes with it":    {one, two(90, 10), agentapi.EndpointUnhealthy, nil},
		"connections":      {pipe(two(100, 0)), pipe(two(90, 10)), agentapi.EndpointUnhealthy, nil},
		"failover":         {two(100, 0), over, agentapi.EndpointUnhealthy, []string{strings.Replace(said, " 503", " 503 where no failover takes them", 1)}},
		"route": {two(100, 0), routed, agentapi.EndpointUnhealthy,
			[]string{"api: 100 % of route /new/ would be answered 503: of 1 copy of api@v2 none is ready (`nixmesh mesh status` says why)"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			f := w.withAgents(t)
			f.begin(c.live)
			w.Agents = func(ctx context.Context, host string) (*agentapi.Client, error) {
				if _, bounded := ctx.Deadline(); !bounded {
					t.Errorf("%s is asked without a deadline", host)
				}
				return f.dial(ctx, host)
			}
			f.services = []agentapi.Service{{Name: "api", Endpoints: []agentapi.Endpoint{
				{Version: "v1", Host: "app2", State: agentapi.EndpointHealthy, Ready: 1, Copies: 1},
				{Version: "v2", Host: "db1", State: c.state, Ready: 1, Copies: 1},
			}}}
			p, err := w.PlanMesh(t.Context(), wants(1, c.next))
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(p.Mesh.Notes, c.want) {
				t.Errorf("notes %q, want %q", p.Mesh.Notes, c.want)
			}
		})
	}
}
