package mesh_test

import (
	"strings"

	"github.com/nixmesh/nixmesh/mesh"
)

func prefix(text string) mesh.Path { return mesh.Path{Kind: mesh.PathPrefix, Text: text} }

// rule is one that looks at the path alone, written as in the language.
func rule(path string) mesh.Rule {
	if pattern, ok := strings.CutPrefix(path, "~"); ok {
		return mesh.Rule{Path: mesh.Path{Kind: mesh.PathRegex, Text: pattern}}
	}
	if strings.HasSuffix(path, "/") {
		return mesh.Rule{Path: prefix(path)}
	}
	return mesh.Rule{Path: mesh.Path{Kind: mesh.PathExact, Text: path}}
}

// shop is the reference fleet of the language, and an operator with access.
func shop() *mesh.Config {
	c := sample()
	c.Hosts = map[string]*mesh.Host{
		"edge1": {Address: "10.0.0.11"}, "app1": {Address: "10.0.0.21"}, "app2": {Address: "10.0.0.22"},
		"db1": {Address: "10.0.0.31"}, "db2": {Address: "10.0.0.32"},
	}
	c.Services = map[string]*mesh.Service{
		"web": {Listens: listen("http"), Versions: on("app1", "app2"), Instances: 1, MTLS: "strict"},
		"api": {
			Listens:  listen("http"),
			Versions: []mesh.Version{{Name: "v1", Hosts: mesh.Names{"app1", "app2"}}, {Name: "v2", Hosts: mesh.Names{"app2"}}},
			Split:    map[string]mesh.Percent{"v1": 90, "v2": 10}, Instances: 1, MTLS: "strict",
			Allows: []mesh.Allow{{Caller: "web", Methods: mesh.Names{"GET", "POST"}}, {Caller: "worker", Paths: []mesh.Path{prefix("/internal/")}}},
			Routes: []mesh.Route{{Rule: mesh.Rule{Path: prefix("/reports/")}, Handling: mesh.Handling{Patience: mesh.Patience{Timeout: seconds(30)}}}},
		},
		"worker":   {Versions: on("app2"), Instances: 1, MTLS: "strict"},
		"postgres": {Listens: listen("tcp"), Versions: on("db1"), Instances: 1, MTLS: "strict"},
		"redis":    {Listens: listen("tcp"), Versions: on("db2"), Instances: 1, MTLS: "strict"},
	}
	c.Gateways = map[string]*mesh.Gateway{"public": {
		Hosts: mesh.Names{"edge1"}, Certificate: &mesh.Certificate{Source: mesh.CertACME, Mail: "ops@shop.example"},
		Listens:    []mesh.GatewayListen{{Protocol: "http", Port: 80, Redirect: true}, {Protocol: "https", Port: 443}},
		MaxHeaders: 61440, ClientTimeout: *seconds(30), BodyTimeout: *seconds(300), Connections: 10000,
		Routes: []mesh.GatewayRoute{
			{Host: "shop.example", Rule: mesh.Rule{Path: prefix("/api/")}, Targets: []mesh.Target{{Service: "api", Percent: 100}}, Handling: mesh.Handling{Rewrite: "/"}},
			{Host: "shop.example", Rule: mesh.Rule{Path: prefix("/")}, Targets: []mesh.Target{{Service: "web", Percent: 100}}},
		},
	}}
	c.Externals = map[string]*mesh.External{"stripe": {Protocol: "http", Hosts: []mesh.Endpoint{{Host: "api.stripe.com", Port: 443}}, TLS: "originate", ServerName: "api.stripe.com", CA: "system"}}
	c.Operators = map[string]*mesh.Operator{"anna": {Access: mesh.Names{"postgres", "api"}}}
	retry := &mesh.Retry{Attempts: 3, On: mesh.Names{"5xx", "reset"}, Backoff: *seconds(1), Budget: 20}
	none := mesh.Patience{}
	c.Edges = map[string]map[string]*mesh.Edge{
		"web":    {"redis": edge(none), "api": edge(mesh.Patience{Timeout: seconds(2), Retry: retry})},
		"api":    {"postgres": edge(none), "redis": edge(none), "stripe": edge(mesh.Patience{Timeout: seconds(5)})},
		"worker": {"api": edge(none), "postgres": edge(none), "redis": edge(none)},
		"public": {"web": edge(none), "api": edge(none)},
	}
	return c
}
