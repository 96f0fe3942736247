package deploy

import (
	"slices"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// A plan says which calls nobody takes while hosts are switched: what the union of two
// configurations cannot bridge.
func TestBetweenTwoConfigurations(t *testing.T) {
	shop := func(change func(api *mesh.Service)) *mesh.Config {
		c := shopMesh(2e9, "api")
		change(c.Services["api"])
		return c
	}
	on := func(hosts ...string) func(*mesh.Service) {
		return func(s *mesh.Service) { s.Versions = []mesh.Version{{Hosts: hosts}} }
	}
	versions := func(first string, share mesh.Percent, second string) func(*mesh.Service) {
		return func(s *mesh.Service) {
			s.Versions = []mesh.Version{{Name: first, Hosts: mesh.Names{"app1"}}, {Name: second, Hosts: mesh.Names{"app2"}}}
			s.Split = map[string]mesh.Percent{first: share, second: 100 - share}
		}
	}
	speaks := func(protocol string) func(*mesh.Service) {
		return func(s *mesh.Service) { s.Listens = []mesh.Listen{{Protocol: protocol}} }
	}
	for name, c := range map[string]struct {
		live, next func(*mesh.Service)
		waves      [][]string
		same       []string
		want       []string
	}{
		"nothing":      {on("app1"), on("app1"), [][]string{{"app1", "app2"}}, nil, nil},
		"another host": {on("app1"), on("app1", "app2"), [][]string{{"app1", "app2"}}, nil, nil},
		"moves at once": {on("app1"), on("app2"), [][]string{{"app1", "app2"}}, nil,
			[]string{"api moves from app1 to app2: nobody takes its calls from when app1 is switched until app2 is switched; keep both in its `on` for one deploy"}},
		"leaves first": {on("app1"), on("app2", "db1"), [][]string{{"app1"}, {"app2", "db1"}}, nil,
			[]string{"api moves from app1 to app2, db1: nobody takes its calls from when app1 is switched until app2 is switched; keep both in its `on` for one deploy"}},
		"comes first":        {on("app1"), on("app2"), [][]string{{"app2"}, {"app1"}}, nil, nil},
		"was there before":   {on("app1"), on("app2"), [][]string{{"app1"}}, []string{"app2"}, nil},
		"stays as yet":       {on("app1"), on("app2"), [][]string{{"app2"}}, nil, nil},
		"gets versions":      {on("app1", "app2"), versions("v1", 90, "v2"), [][]string{{"app1"}}, nil, []string{"api: 100 % of the calls fail from when its last host is switched until every host runs this release: they go to what has no version until then"}},
		"loses versions":     {versions("v1", 90, "v2"), on("app1", "app2"), [][]string{{"app1"}}, nil, []string{"api: 100 % of the calls fail from when its last host is switched until every host runs this release: they go to version v1 and v2 until then"}},
		"keeps a version":    {versions("v1", 100, "v2"), versions("v1", 0, "v3"), [][]string{{"app1"}}, nil, nil},
		"drops a version":    {versions("v1", 90, "v2"), versions("v1", 0, "v3"), [][]string{{"app1"}}, nil, []string{"api: 10 % of the calls fail from when its last host is switched until every host runs this release: they go to version v2 until then; keep v2 for one deploy"}},
		"speaks newer HTTP":  {speaks("http"), speaks("grpc"), [][]string{{"app1"}}, nil, nil},
		"speaks no HTTP":     {speaks("http"), speaks("tcp"), [][]string{{"app1"}}, nil, []string{"api: a host that is switched takes no calls until every host runs this release, since it speaks tcp then and not http; give that a listen of its own for one deploy", "open TCP connections end: web -> api"}},
		"no host is changed": {on("app1"), on("app2"), nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			live, next := shop(c.live), shop(c.next)
			m := &MeshPlan{live: &meshLive{config: live}, next: next, during: next}
			var waves []Wave
			for _, hosts := range c.waves {
				waves = append(waves, Wave{Hosts: hosts})
			}
			m.foresee(waves, c.same)
			if !slices.Equal(m.Notes, c.want) {
				t.Errorf("notes %q, want %q", m.Notes, c.want)
			}
		})
	}
}

// A plan says which open connections it ends, and `mesh apply` before it asks.
func TestPlanSaysWhatEnds(t *testing.T) {
	pipe := func(idle mesh.Duration, log string) *mesh.Config {
		c := shopMesh(2e9, "api")
		c.Services["api"].Listens = []mesh.Listen{{Protocol: "tcp"}}
		c.Edges["web"]["api"].IdleTimeout = &idle
		c.Telemetry.AccessLog = log
		return c
	}
	for name, c := range map[string]struct {
		next *mesh.Config
		want []string
	}{
		"nothing":    {pipe(6e10, "errors"), nil},
		"idle time":  {pipe(7e10, "errors"), []string{"open TCP connections end: web -> api"}},
		"access log": {pipe(7e10, "all"), []string{"all open TCP connections, WebSockets and streams end once, since what is logged changes (`telemetry { access_log }`)"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			f := w.withAgents(t)
			f.begin(pipe(6e10, "errors"))
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
