package xds

import (
	"fmt"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

var gatewayOnly = only("Listener gw:*", "RouteConfiguration r:gw:*", "Secret gw:*")

// gatewayOf is a gateway of app1 as the language has it by default.
func gatewayOf(certificate string, listens []mesh.GatewayListen, routes ...mesh.GatewayRoute) *mesh.Gateway {
	g := &mesh.Gateway{
		Hosts: mesh.Names{"app1"}, Listens: listens, Routes: routes,
		MaxHeaders: 60 << 10, ClientTimeout: seconds(30), BodyTimeout: seconds(300), Connections: 10_000,
	}
	if certificate != "" {
		g.Certificate = &mesh.Certificate{Source: certificate}
	}
	return g
}

func httpAndHTTPS() []mesh.GatewayListen {
	return []mesh.GatewayListen{{Protocol: "http", Port: 80, Redirect: true}, {Protocol: "https", Port: 443}}
}

func prefix(path string) mesh.Rule {
	return mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: path}}
}

func exact(path string) mesh.Rule {
	return mesh.Rule{Path: mesh.Path{Kind: mesh.PathExact, Text: path}}
}

func to(service, version string, percent mesh.Percent) mesh.Target {
	return mesh.Target{Service: service, Version: version, Percent: percent}
}

// outside is one gateway of app1, which calls web and api on app2 and api's
// database.
func outside(g *mesh.Gateway) *mesh.Config {
	api := service([]mesh.Version{{Name: "v1", Hosts: mesh.Names{"app2"}}, {Name: "v2", Hosts: mesh.Names{"app2"}}}, mesh.Listen{Protocol: "http"})
	api.Split = map[string]mesh.Percent{"v1": 90, "v2": 10}
	c := meshOf(map[string]*mesh.Service{
		"web":      service(on("app2"), mesh.Listen{Protocol: "http"}),
		"api":      api,
		"postgres": service(on("app2"), mesh.Listen{Protocol: "tcp"}),
	})
	c.Gateways = map[string]*mesh.Gateway{"public": g}
	calls(c, "public", "web", "api", "postgres")
	return c
}

func TestGatewayByDefault(t *testing.T) {
	golden(t, "gateway_default", Build(input(t, outside(gatewayOf(mesh.CertMeshCA, httpAndHTTPS(),
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}},
	)))), gatewayOnly)
}

// Everything that a gateway can say.
func TestGatewayInFull(t *testing.T) {
	day := seconds(86400)
	g := gatewayOf(mesh.CertMeshCA,
		[]mesh.GatewayListen{
			{Protocol: "http", Port: 8080},
			{Protocol: "https", Port: 8443, ProxyProtocol: true, From: mesh.Names{"192.0.2.10/32", "2001:db8::a/128"}},
			{Protocol: "tcp", Port: 5432, Service: "postgres", From: mesh.Names{"192.0.2.0/24", "2001:db8::/32"}},
		},
		mesh.GatewayRoute{Host: "shop.example", Rule: exact("/old"), Handling: mesh.Handling{Redirect: &mesh.Redirect{To: "/new", Status: 301}}},
		mesh.GatewayRoute{
			Host: "shop.example", Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/api/"}, Methods: mesh.Names{"GET", "POST"}},
			Targets: []mesh.Target{to("api", "", 100)}, MaxBody: 1 << 20, BodyTimeout: new(seconds(3600)), Mirror: &mesh.Mirror{Service: "web", Percent: 10},
			CORS: &mesh.CORS{Origins: mesh.Names{"https://other.example"}, Methods: mesh.Names{"GET"}, Headers: mesh.Names{"x-page"}, Credentials: true, MaxAge: &day},
			Handling: mesh.Handling{
				Rewrite: "/", Request: &mesh.HeaderChange{Set: map[string]string{"x-from": "outside"}}, Response: &mesh.HeaderChange{Remove: mesh.Names{"server"}},
				Limit: &mesh.Limit{Count: 10, Per: seconds(1), Burst: 20, By: "client"}, Patience: mesh.Patience{Timeout: new(seconds(3))},
			},
		},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/beta/"), Targets: []mesh.Target{to("api", "v2", 30), to("web", "", 70)}, Handling: mesh.Handling{Sticky: "beta"}},
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}},
		mesh.GatewayRoute{Host: "*.shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}},
		mesh.GatewayRoute{Host: "inside.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}, Auth: mesh.Names{"staff"}},
	)
	g.Compress, g.MaxBody, g.Connections = true, 8<<20, 500
	g.TLS = map[string]*mesh.Certificate{"*.shop.example": {Source: mesh.CertMeshCA}}
	g.Auths = map[string]*mesh.Auth{"staff": {Service: "web", Timeout: seconds(1), Claims: map[string]string{"sub": "x-user"}}}
	c := outside(g)
	c.Services["api"].Routes = []mesh.Route{
		{Rule: prefix("/reports/"), To: "v1", Handling: mesh.Handling{
			Patience: mesh.Patience{Timeout: new(seconds(30))}, Response: &mesh.HeaderChange{Set: map[string]string{"x-report": "1"}},
			Limit: &mesh.Limit{Count: 5, Per: seconds(60), Burst: 5, By: "caller"},
		}},
		{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/"}, From: mesh.Names{"web"}}, To: "v2"},
		{Rule: exact("/health"), Handling: mesh.Handling{Respond: &mesh.Respond{Status: 200, Body: "well"}}},
	}
	in := input(t, c)
	in.IPv6 = true
	golden(t, "gateway_full", Build(in), gatewayOnly)
}

// Two gateways on one port: names of each lead to its own services, on its own
// certificate.
func TestGatewaysOnOnePort(t *testing.T) {
	c := outside(gatewayOf(mesh.CertMeshCA, httpAndHTTPS(),
		mesh.GatewayRoute{Host: "shop.example", Rule: prefix("/"), Targets: []mesh.Target{to("web", "", 100)}}))
	c.Gateways["staff"] = gatewayOf(mesh.CertMeshCA, httpAndHTTPS(),
		mesh.GatewayRoute{Host: "staff.example", Rule: prefix("/"), Targets: []mesh.Target{to("api", "", 100)}})
	c.Gateways["staff"].MaxHeaders, c.Gateways["staff"].Connections = 8<<10, 100
	calls(c, "staff", "api")
	golden(t, "gateway_shared", Build(input(t, c)), gatewayOnly)
}

// A certificate from a file, and what stands in for one that cannot be used.
func TestGatewayCertificates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	now := time.Now()
	good, other, old := ca.server(now.Add(time.Hour), "shop.example"), ca.server(now.Add(time.Hour), "shop.example"), ca.server(now.Add(-time.Minute), "shop.example")
	for _, test := range []struct {
		name   string
		source string
		file   []byte
		host   string
		want   Leaf // served; none = the mesh's CA's
		level  Level
		says   string
	}{
		{"the mesh's CA", mesh.CertMeshCA, nil, "", Leaf{}, 0, ""},
		{"ACME", mesh.CertACME, nil, "", Leaf{}, Standin, "it is served with a certificate of the mesh's CA: nixmesh orders no certificate by ACME yet"},
		{"a file", mesh.CertFile, together(good), "", good, 0, ""},
		{"the lab's CA", mesh.CertLabCA, together(good), "", good, 0, ""},
		{"another host's file", mesh.CertFile, together(good), "*.shop.example", Leaf{}, Standin, "it is served with a certificate of the mesh's CA: that of its file cannot be used: this host does not have it yet; deploy it"},
		{"no file", mesh.CertFile, nil, "", Leaf{}, Standin, "it is served with a certificate of the mesh's CA: that of its file cannot be used: its file cannot be read; see nixmesh-unseal.service on the host"},
		{"another's key", mesh.CertFile, append(append([]byte{}, good.Chain...), other.Key...), "", Leaf{}, Standin, "it is served with a certificate of the mesh's CA: that of its file cannot be used: the certificate and the key are damaged, or not of each other; deploy a good one"},
		{"no key", mesh.CertFile, good.Chain, "", Leaf{}, Standin, "it is served with a certificate of the mesh's CA: that of its file cannot be used: there is no key in clear PEM in the file of its key; deploy a good one"},
		{"words", mesh.CertFile, []byte("hunter2"), "", Leaf{}, Standin, "it is served with a certificate of the mesh's CA: that of its file cannot be used: there is no certificate in its file; deploy a good one"},
		{"an old one", mesh.CertFile, together(old), "", old, Missing, fmt.Sprintf("clients refuse the certificate of shop.example: it ended on %s; deploy another", now.Add(-time.Minute).UTC().Format("2006-01-02 15:04 MST"))},
		{"one for others", mesh.CertFile, together(ca.server(now.Add(time.Hour), "b.example")), "", Leaf{}, Missing, "clients refuse the certificate of shop.example: it is not for that name; deploy another"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := certified(t, test.source, test.host, test.file, "shop.example")
			in.Now = now
			out := Build(in)
			wanted := test.want
			if wanted.Chain == nil && test.level != Missing {
				wanted = Leaf{Chain: []byte("chain of public"), Key: []byte("key of public")}
			}
			if wanted.Chain != nil {
				serves(t, out, wanted)
			}
			says(t, out, test.level, test.says)
		})
	}
}
