package xds

import (
	"net/http"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// A cookie keeps a client of a gateway on what it got, and takes it past no route of
// the callee: not past one that refuses, nor past one that leads elsewhere.
func TestRealGatewaySticky(t *testing.T) {
	ca := newAuthority(t)
	api, both := []mesh.Target{to("api", "", 100)}, []mesh.Target{to("api", "", 50), to("web", "", 50)}
	g := gatewayOf("", []mesh.GatewayListen{{Protocol: "http", Port: 80}},
		mesh.GatewayRoute{Host: "one.example", Rule: prefix("/"), Targets: api},
		mesh.GatewayRoute{Host: "both.example", Rule: prefix("/"), Targets: both, Handling: mesh.Handling{Sticky: "part"}},
		mesh.GatewayRoute{Host: "theirs.example", Rule: prefix("/"), Targets: both},
		mesh.GatewayRoute{Host: "v1.example", Rule: prefix("/"), Targets: []mesh.Target{to("api", "v1", 50), to("web", "", 50)}, Handling: mesh.Handling{Sticky: "part"}},
	)
	c := outside(g)
	no := mesh.Handling{Respond: &mesh.Respond{Status: 403, Body: "no"}}
	c.Services["api"].Sticky, c.Services["api"].Split = "version", map[string]mesh.Percent{"v1": 50, "v2": 50}
	c.Services["api"].Routes = []mesh.Route{
		{Rule: prefix("/own/no/"), Handling: no},
		{Rule: prefix("/admin/"), Handling: no},
		{Rule: prefix("/beta/"), To: "v2", Handling: mesh.Handling{Rewrite: "/b/"}},
		{Rule: prefix("/own/"), Split: map[string]mesh.Percent{"v1": 50, "v2": 50}, Handling: mesh.Handling{Sticky: "own"}},
	}
	in := input(t, c)
	in.Facts.Mesh.Roots = string(ca.pem)
	clear := startFront(t, ca, in).from(t, 80, nil)

	type met struct {
		status         int
		cluster, heard string
		cookie         bool // another one is set
	}
	refused := met{status: 403}
	at := func(version, heard string) met { return met{200, "u:public:api@" + version, heard, false} }
	atWeb := func(heard string) met { return met{200, "u:public:web", heard, false} }
	given := func(m met) met { m.cookie = true; return m }
	for _, test := range []struct {
		host, path, cookie string
		want               []met // each of them now and then
	}{
		{"one.example", "/admin/x", "", []met{refused}},
		{"one.example", "/admin/x", "version=v1", []met{refused}},
		{"one.example", "/admin/x", "version=v2", []met{refused}},
		{"one.example", "/beta/x", "", []met{at("v2", "/b/x")}},
		{"one.example", "/beta/x", "version=v1", []met{at("v2", "/b/x")}},
		{"one.example", "/own/no/x", "version=v1; own=v1", []met{refused}},
		{"one.example", "/own/x", "version=v1; own=v2", []met{at("v2", "/own/x")}},
		{"one.example", "/own/x", "version=v1", []met{given(at("v1", "/own/x")), given(at("v2", "/own/x"))}},
		{"one.example", "/x", "version=v1; own=v2", []met{at("v1", "/x")}},
		{"one.example", "/x", "version=v2", []met{at("v2", "/x")}},
		{"one.example", "/x", "version=v3", []met{given(at("v1", "/x")), given(at("v2", "/x"))}},

		{"both.example", "/admin/x", "", []met{refused, given(atWeb("/admin/x"))}},
		{"both.example", "/admin/x", "part=api@v1", []met{refused}},
		{"both.example", "/admin/x", "part=api@v2", []met{refused}},
		{"both.example", "/admin/x", "part=web", []met{atWeb("/admin/x")}},
		{"both.example", "/beta/x", "", []met{given(at("v2", "/b/x")), given(atWeb("/beta/x"))}},
		{"both.example", "/beta/x", "part=api@v1", []met{at("v2", "/b/x")}},
		{"both.example", "/beta/x", "part=web", []met{atWeb("/beta/x")}},
		{"both.example", "/x", "part=api@v1", []met{at("v1", "/x")}},
		{"both.example", "/x", "part=api@v2", []met{at("v2", "/x")}},

		// The cookies of a callee keep clients at it where they act, and where a route
		// of it stands before one on which they do.
		{"theirs.example", "/admin/x", "version=api@v1", []met{refused}},
		{"theirs.example", "/beta/x", "version=api@v1", []met{at("v2", "/b/x")}},
		{"theirs.example", "/own/no/x", "own=api@v1", []met{refused}},
		{"theirs.example", "/own/x", "own=api@v1", []met{at("v1", "/own/x")}},
		{"theirs.example", "/own/x", "own=api@v1; version=api@v2", []met{at("v1", "/own/x")}},
		{"theirs.example", "/own/x", "version=api@v2", []met{given(at("v1", "/own/x")), given(at("v2", "/own/x"))}},
		{"theirs.example", "/x", "own=api@v1; version=api@v2", []met{at("v2", "/x")}},

		// A version of one route alone is the callee's, too.
		{"v1.example", "/beta/x", "", []met{given(at("v2", "/b/x")), given(atWeb("/beta/x"))}},
		{"v1.example", "/x", "part=api@v2", []met{at("v1", "/x")}},
	} {
		count := map[met]int{}
		for range 20 * len(test.want) {
			header := http.Header{}
			if test.cookie != "" {
				header.Set("cookie", test.cookie)
			}
			got := ask(t, clear, "GET", "http://"+test.host+test.path, header, "")
			count[met{got.StatusCode, got.Header.Get("x-cluster"), got.heard["path"], got.Header.Get("set-cookie") != ""}]++
		}
		good := len(count) == len(test.want)
		for _, want := range test.want {
			good = good && count[want] > 0
		}
		if !good {
			t.Errorf("%s%s with %q met %v, want %v", test.host, test.path, test.cookie, count, test.want)
		}
	}
}
