package xds

import (
	"net/http"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// What a client says that a token proves decides no route of the callee, as the callee
// does not hear it. What the gateway says does.
func TestRealGatewayClaims(t *testing.T) {
	ca := newAuthority(t)
	api := []mesh.Target{to("api", "", 100)}
	says := func(c mesh.HeaderChange) mesh.Handling { return mesh.Handling{Request: &c} }
	g := gatewayOf("", []mesh.GatewayListen{{Protocol: "http", Port: 80}},
		mesh.GatewayRoute{Host: "api.example", Rule: prefix("/"), Targets: api},
		mesh.GatewayRoute{Host: "anna.example", Rule: prefix("/"), Targets: api, Handling: says(mesh.HeaderChange{Set: map[string]string{"x-user": "anna"}})},
		mesh.GatewayRoute{Host: "other.example", Rule: prefix("/"), Targets: api, Handling: says(mesh.HeaderChange{Set: map[string]string{"x-other": "1"}})},
	)
	g.Auths = map[string]*mesh.Auth{"staff": {Service: "web", Timeout: seconds(60), Claims: map[string]string{"sub": "x-user"}}}
	c := outside(g)
	c.Services["api"].Split = nil
	user := func(path string, m mesh.Match) mesh.Rule {
		m.Name = "X-User"
		return mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: path}, Headers: []mesh.Match{m}}
	}
	c.Services["api"].Routes = []mesh.Route{
		{Rule: user("/is/", mesh.Match{Kind: mesh.MatchExact, Text: "anna"}), To: "v2"},
		{Rule: user("/none/", mesh.Match{Kind: mesh.MatchPresent, Not: true}), Handling: mesh.Handling{Respond: &mesh.Respond{Status: 403, Body: "no"}}},
	}
	in := input(t, c)
	in.Facts.Mesh.Roots = string(ca.pem)
	clear := startFront(t, ca, in).from(t, 80, nil)
	for _, test := range []struct {
		url, said, cluster, heard string
		status                    int
	}{
		{"http://api.example/is/x", "", "u:public:api@v1", "", 200},
		{"http://api.example/is/x", "anna", "u:public:api@v1", "", 200},
		{"http://other.example/is/x", "anna", "u:public:api@v1", "", 200},
		{"http://anna.example/is/x", "", "u:public:api@v2", "anna", 200},
		{"http://anna.example/is/x", "bob", "u:public:api@v2", "anna", 200},
		{"http://api.example/none/x", "", "", "", 403},
		{"http://api.example/none/x", "anna", "", "", 403},
		{"http://anna.example/none/x", "", "u:public:api@v1", "anna", 200},
	} {
		header := http.Header{}
		if test.said != "" {
			header.Set("x-user", test.said)
		}
		got := ask(t, clear, "GET", test.url, header, "")
		if got.StatusCode != test.status || got.Header.Get("x-cluster") != test.cluster || got.heard["x-user"] != test.heard {
			t.Errorf("%s of %q: %d of %q, which hears of %q, want %d of %q and %q",
				test.url, test.said, got.StatusCode, got.Header.Get("x-cluster"), got.heard["x-user"], test.status, test.cluster, test.heard)
		}
	}
}
