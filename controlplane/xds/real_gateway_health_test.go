package xds

import (
	"net/http"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// Load balancers see by the health path that a host drains, on every port for HTTP
// and whatever host they ask for; nothing else is different for clients.
func TestRealGatewayHealth(t *testing.T) {
	ca := newAuthority(t)
	f := startFront(t, ca, input(t, outside(gatewayOf("", []mesh.GatewayListen{{Protocol: "http", Port: 80}, {Protocol: "http", Port: 81}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}}))))
	post := func(path string) {
		answer, err := f.admin.Post("http://envoy"+path, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	answers := func(status int) {
		t.Helper()
		for _, port := range []int{80, 81} {
			for _, host := range []string{"shop.example", "10.0.0.21"} {
				got := ask(t, f.from(t, port, nil), http.MethodGet, "http://"+host+HealthPath, nil, "")
				if got.StatusCode != status || got.heard != nil {
					t.Errorf("port %d answers %s with %d, want %d", port, host, got.StatusCode, status)
				}
			}
			if got := ask(t, f.from(t, port, nil), http.MethodGet, "http://shop.example/", nil, ""); got.StatusCode != 200 {
				t.Errorf("a client gets %d", got.StatusCode)
			}
		}
	}
	answers(200)
	post("/healthcheck/fail")
	answers(503)
	post("/healthcheck/ok")
	answers(200)
}
