package spec

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestEdgesShop holds the edges of the reference fleet to what its page says.
func TestEdgesShop(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/edges_shop.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := unpack(t, archive)
	l := Load(dir, Options{Version: "0.4.0"})
	if l.Fleet == nil {
		t.Fatal(l.Diagnostics)
	}
	var got strings.Builder
	for _, e := range l.Fleet.Edges() {
		fmt.Fprintf(&got, "%s %s -> %s %s %v %s:%d\n", e.CallerKind, e.Caller, e.UpstreamKind, e.Upstream, e.Ports, e.Place.File, e.Place.Line)
		if (e.Settings != nil) != (e.CallerKind == "service") || (e.Listen != nil) != (e.UpstreamKind == "service") {
			t.Errorf("settings %v, listen %v: %+v", e.Settings, e.Listen, e)
		}
	}
	golden(t, "testdata/edges_shop.txtar", archive, "edges", []byte(got.String()))
}

func TestCallerPorts(t *testing.T) {
	for _, c := range []struct {
		e     External
		fixed int
		want  []int
	}{
		{External{Hosts: []Endpoint{{"api.stripe.com", 443}}, Protocol: "http", TLS: "originate"}, 0, []int{80}},
		{External{Hosts: []Endpoint{{"api.stripe.com", 443}}, Protocol: "http", TLS: "originate"}, 8080, []int{8080}},
		{External{Hosts: []Endpoint{{"api.stripe.com", 443}}, Protocol: "tcp", TLS: "passthrough"}, 0, []int{443}},
		{External{Hosts: []Endpoint{{"a.example", 8443}, {"b.example", 443}, {"c.example", 8443}}, Protocol: "tcp", TLS: "passthrough"}, 0, []int{443, 8443}},
		{External{Hosts: []Endpoint{{"a.example", 8443}, {"b.example", 443}}, Protocol: "tcp", TLS: "passthrough"}, 9443, []int{9443}},
		{External{Hosts: []Endpoint{{"a.example", 5432}, {"b.example", 5433}}, Protocol: "tcp", TLS: "originate"}, 0, []int{5432}},
		{External{Hosts: []Endpoint{{"10.1.1.1", 9000}}, Protocol: "grpc", TLS: "off"}, 0, []int{80, 9000}},
		{External{Hosts: []Endpoint{{"10.1.1.1", 80}}, Protocol: "http", TLS: "off"}, 0, []int{80}},
		{External{Hosts: []Endpoint{{"db.example", 5432}}, Protocol: "tcp", TLS: "originate"}, 0, []int{5432}},
	} {
		if got := c.e.callerPorts(c.fixed); !slices.Equal(got, c.want) {
			t.Errorf("%+v with %d: got %v, want %v", c.e, c.fixed, got, c.want)
		}
	}
}
