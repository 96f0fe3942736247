package xds

import (
	"net/http"
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// The health path is Envoy's whatever query comes with it, and no path beside it is.
func TestRealGatewayHealthWithQuery(t *testing.T) {
	f := startFront(t, newAuthority(t), input(t, outside(gatewayOf("", []mesh.GatewayListen{{Protocol: "http", Port: 80}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}}))))
	for path, own := range map[string]bool{
		HealthPath: true, HealthPath + "?": true, HealthPath + "?a": true, HealthPath + "?a=/b?c&d": true,
		HealthPath + "/": false, HealthPath + "y?a": false, "/x?" + HealthPath: false, "/xwell-known/nixmesh/health": false,
	} {
		got := ask(t, f.from(t, 80, nil), http.MethodGet, "http://shop.example"+path, nil, "")
		if got.StatusCode != 200 || own != (got.heard == nil) {
			t.Errorf("%s: %d, heard by the service: %t", path, got.StatusCode, got.heard != nil)
		}
	}
}
