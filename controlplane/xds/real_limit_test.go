package xds

import (
	"net"
	"net/http"
	"slices"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit/envoytest"
	"github.com/nixmesh/nixmesh/mesh"
)

// TestRealLimit has the allow that lets a request pass bound the rate of such.
func TestRealLimit(t *testing.T) {
	ca := newAuthority(t)
	api := service(on("app1"), mesh.Listen{Protocol: "http"})
	most := func(n int, by string) *mesh.Limit { return &mesh.Limit{Count: n, Per: seconds(3600), Burst: n, By: by} }
	api.Allows = []mesh.Allow{
		{Caller: "web", Methods: mesh.Names{"GET"}, Limit: most(2, "caller")},
		{Caller: "web", Methods: mesh.Names{"PUT"}},
		{Caller: "shop", Limit: most(1, "client")},
		{Caller: "cron", Limit: most(1, "caller"), Shadow: true},
	}
	c := meshOf(map[string]*mesh.Service{"web": service(on("app2")), "shop": service(on("app2")), "cron": service(on("app2")), "api": api})
	c.Hosts["app1"].Address = loopback(t)
	for _, caller := range []string{"web", "shop", "cron"} {
		calls(c, caller, "api")
	}
	in := input(t, c, runs("api", "", hostfacts.Listen{Protocol: "http", Port: backend(t, false)}))
	in.Facts.Mesh.Roots = string(ca.pem)
	e := startEnvoy(t, ca, Build(in))
	ask := func(caller, method, of string) (statuses []int) {
		t.Helper()
		own := client(t, e.address(InboundListener), ca.caller(ID(testDomain, caller), "api.mesh", "h2"))
		for range 3 {
			request, _ := http.NewRequest(method, "https://api.mesh/", nil)
			request.Header.Set("X-Forwarded-For", of)
			answer, err := own.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			statuses = append(statuses, answer.StatusCode)
		}
		return statuses
	}
	for _, test := range []struct {
		caller, method, of string
		want               []int
	}{
		{"web", "GET", "192.0.2.1", []int{200, 200, 429}},
		{"web", "GET", "192.0.2.2", []int{429, 429, 429}},
		{"web", "PUT", "192.0.2.1", []int{200, 200, 200}},
		{"shop", "GET", "192.0.2.1", []int{200, 429, 429}},
		{"shop", "GET", "192.0.2.2", []int{200, 429, 429}},
		{"cron", "GET", "192.0.2.1", []int{200, 200, 200}},
	} {
		if got := ask(test.caller, test.method, test.of); !slices.Equal(got, test.want) {
			t.Errorf("%s, %s for %s: got %v, want %v", test.caller, test.method, test.of, got, test.want)
		}
	}
}

// TestRealConnections bounds what an application has open. What is above it is
// refused at once, and comes through when another is closed.
func TestRealConnections(t *testing.T) {
	ca := newAuthority(t)
	postgres := service(on("app1"), mesh.Listen{Protocol: "tcp"})
	postgres.Connections = 2
	c := meshOf(map[string]*mesh.Service{"web": service(on("app1")), "postgres": postgres})
	c.Hosts["app1"].Address = loopback(t)
	calls(c, "web", "postgres")
	in := input(t, c, runs("postgres", "", hostfacts.Listen{Protocol: "tcp", Port: banner(t)}))
	in.Facts.Mesh.Roots = string(ca.pem)
	b := &builder{in: in, built: map[Key]*Resource{}}
	b.secrets()
	b.inbound()
	outward(b, "web", "postgres", "tcp")
	e := startEnvoy(t, ca, b.output())
	open := func() (net.Conn, string) {
		conn := dial(t, e.address("web>postgres"))
		return conn, line(conn)
	}
	first, heard := open()
	if _, second := open(); heard != "hello\n" || second != "hello\n" {
		t.Fatalf("they hear %q and %q", heard, second)
	}
	if _, heard := open(); heard != "" {
		t.Errorf("a third one hears %q", heard)
	}
	first.Close()
	e.eventually("there is no place for another", func() bool { _, heard := open(); return heard == "hello\n" })
}

// TestRealCopies has one copy of two gone: its share of the calls goes to the other.
func TestRealCopies(t *testing.T) {
	ca := newAuthority(t)
	c := meshOf(map[string]*mesh.Service{
		"web":      service(on("app1")),
		"api":      service(on("app1"), mesh.Listen{Protocol: "http"}),
		"postgres": service(on("app1"), mesh.Listen{Protocol: "tcp"}),
	})
	c.Hosts["app1"].Address = loopback(t)
	calls(c, "web", "api", "postgres")
	port := envoytest.FreePort(t) // where nobody listens
	in := input(t, c,
		runs("api", "", hostfacts.Listen{Protocol: "http", Port: port}), runs("api", "", hostfacts.Listen{Protocol: "http", Port: backend(t, false)}),
		runs("postgres", "", hostfacts.Listen{Protocol: "tcp", Port: port}), runs("postgres", "", hostfacts.Listen{Protocol: "tcp", Port: banner(t)}),
	)
	in.Facts.Mesh.Roots = string(ca.pem)
	b := &builder{in: in, built: map[Key]*Resource{}}
	b.secrets()
	b.inbound()
	outward(b, "web", "api", "http")
	outward(b, "web", "postgres", "tcp")
	e := startEnvoy(t, ca, b.output())
	lost := 0
	for range 40 {
		if status, _ := get(t, http.DefaultClient, "http://"+e.address("web>api")+"/", nil); status != 200 {
			t.Errorf("a request gets %d", status)
		}
		if heard := line(dial(t, e.address("web>postgres"))); heard != "hello\n" {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d connections of 40 were lost", lost)
	}
}
