package xds

import (
	"fmt"
	"net"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// TestRealRevoke takes the permission of one caller of TCP away, and gives it to
// another: what the one had open ends, and what the others have goes on.
func TestRealRevoke(t *testing.T) {
	ca := newAuthority(t)
	address, port := loopback(t), banner(t)
	built := func(callers ...string) *Output {
		c := meshOf(map[string]*mesh.Service{
			"a": service(on("app1"), mesh.Listen{Protocol: "http"}), "b": service(on("app1"), mesh.Listen{Protocol: "http"}), "c": service(on("app1"), mesh.Listen{Protocol: "http"}),
			"postgres": service(on("app1"), mesh.Listen{Protocol: "tcp"}),
		})
		c.Hosts["app1"].Address = address
		for _, caller := range callers {
			calls(c, caller, "postgres")
		}
		in := input(t, c, runs("postgres", "", hostfacts.Listen{Protocol: "tcp", Port: port}))
		in.Facts.Mesh.Roots = string(ca.pem)
		b := &builder{in: in, built: map[Key]*Resource{}}
		b.secrets()
		b.inbound()
		for _, caller := range []string{"a", "b", "c"} {
			outward(b, caller, "postgres", "tcp")
		}
		return b.output()
	}
	e := startEnvoy(t, ca, built("a", "b"))
	open := func(caller string) (net.Conn, string) {
		conn := dial(t, e.address(caller+">postgres"))
		return conn, line(conn)
	}
	a, heardA := open("a")
	b, heardB := open("b")
	if heardA != "hello\n" || heardB != "hello\n" {
		t.Fatalf("a hears %q, b %q", heardA, heardB)
	}
	if _, heard := open("c"); heard != "" {
		t.Fatalf("c hears %q before it may call", heard)
	}
	e.listen(built("b", "c"))
	e.eventually("c still may not call", func() bool { _, heard := open("c"); return heard == "hello\n" })
	if _, heard := open("a"); heard != "" {
		t.Errorf("a still may call: it hears %q", heard)
	}
	if heard := line(a); heard != "" {
		t.Errorf("what a had open goes on: it hears %q", heard)
	}
	fmt.Fprintln(b, "still here")
	if heard := line(b); heard != "still here\n" {
		t.Errorf("what b had open ended: it hears %q", heard)
	}
	if n := e.stat("listener_manager.listener_in_place_updated"); n != 1 {
		t.Errorf("the listener was replaced, not changed: %d changes in place", n)
	}
}

// TestRealShadow has a shadow count what it would refuse.
func TestRealShadow(t *testing.T) {
	ca := newAuthority(t)
	api := service(on("app1"), mesh.Listen{Protocol: "http"})
	api.Allows = []mesh.Allow{{Caller: "web", Methods: mesh.Names{"POST"}, Shadow: true}}
	c := meshOf(map[string]*mesh.Service{"web": service(on("app2")), "api": api})
	c.Hosts["app1"].Address = loopback(t)
	calls(c, "web", "api")
	in := input(t, c, runs("api", "", hostfacts.Listen{Protocol: "http", Port: backend(t, false)}))
	in.Facts.Mesh.Roots = string(ca.pem)
	e := startEnvoy(t, ca, Build(in))
	web := client(t, e.address(InboundListener), ca.caller(ID(testDomain, "web"), "api.mesh", "h2"))
	for range 2 {
		if status, _ := get(t, web, "https://api.mesh/", nil); status != 200 {
			t.Fatalf("a shadow refuses: %d", status)
		}
	}
	if n := e.stat("http.in:api.rbac.shadow_denied"); n != 2 {
		t.Errorf("the shadow counted %d of 2", n)
	}
	if n := e.stat("http.in:api.rbac.denied"); n != 0 {
		t.Errorf("%d were refused", n)
	}
}
