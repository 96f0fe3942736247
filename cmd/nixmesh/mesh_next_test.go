package main

import (
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/deploy"
	"github.com/nixmesh/nixmesh/mesh"
	"github.com/nixmesh/nixmesh/spec"
)

// placed is a fleet of two services whose blocks stand where their names say.
func placed() *fleet {
	at := func(line int) spec.Place { return spec.Place{File: "nixmesh.hcl", Line: line, Block: `service "api"`} }
	return &fleet{spec: &spec.Fleet{
		Hosts:     []*spec.Host{{Name: "app1", Place: at(1)}},
		Externals: []*spec.External{{Name: "stripe", Place: at(2)}},
		Gateways:  []*spec.Gateway{{Name: "public", Place: at(3)}},
		Services: []*spec.Service{
			{Name: "api", Place: at(10), On: []string{"app1", "app2"}, SplitPlace: at(11),
				Upstreams: []*spec.Upstream{{Name: "stripe", Place: at(12)}, {Name: "db", Listen: "admin", Place: at(13)}},
				Allows:    []*spec.Allow{{Caller: "web", Place: at(14)}}, Routes: []*spec.Route{{Path: spec.Path{Kind: "prefix", Text: "/reports/"}, Place: at(15)}}},
			{Name: "web", Place: at(20), On: []string{"app1"}},
		},
	}}
}

// A difference of the mesh is told with the line that makes it.
func TestMeshPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op, kind, subject, want string
	}{
		{"+", "edge", "api -> stripe", "nixmesh.hcl:12"},
		{"~", "edge", "api -> db:admin timeout", "nixmesh.hcl:13"},
		{"~", "edge", "web -> api timeout", "nixmesh.hcl:20"},
		{"-", "edge", "api -> stripe", ""},
		{"~", "split", "api", "nixmesh.hcl:11"},
		{"~", "split", "web", "nixmesh.hcl:20"},
		{"~", "allow", "web -> api", "nixmesh.hcl:14"},
		{"+", "route", "api /reports/ GET", "nixmesh.hcl:15"},
		{"~", "service", "web mtls", "nixmesh.hcl:20"},
		{"+", "external", "stripe", "nixmesh.hcl:2"},
		{"~", "gateway", "public http3", "nixmesh.hcl:3"},
		{"~", "host", "app1 address", "nixmesh.hcl:1"},
		{"~", "fleet", "authorization", ""},
	} {
		if got := placed().meshPlace(mesh.Change{Op: c.op, Kind: c.kind, Subject: c.subject}); got != c.want {
			t.Errorf("%s %s %s: got %q, want %q", c.op, c.kind, c.subject, got, c.want)
		}
	}
}

// The refusal of an apply names each host once with its reason, where one is
// known.
func TestApplyThatNeedsADeploy(t *testing.T) {
	t.Parallel()
	m := &deploy.MeshPlan{Needs: []string{"app1", "app2", "db1"}, Changes: []deploy.MeshChange{
		{Change: mesh.Change{Op: "+", Kind: "edge", Subject: "api -> stripe"}, Place: "nixmesh.hcl:12"},
		{Change: mesh.Change{Op: "~", Kind: "edge", Subject: "web -> api timeout"}, Place: "nixmesh.hcl:20"},
	}}
	want := strings.Join([]string{
		"Refused: this also changes facts of hosts, which need a deploy.",
		`  app1, app2  + upstream "stripe" of api              nixmesh.hcl:12`,
		"  db1         runs something else than the spec says",
		"Next: nixmesh deploy --on app1,app2,db1",
	}, "\n")
	got := placed().needsDeploy(m).Error()
	trimmed := strings.ReplaceAll(got, " \n", "\n")
	if strings.Join(strings.Fields(trimmed), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
