package mesh_test

import (
	"time"

	"github.com/nixmesh/nixmesh/mesh"
)

func seconds(n int) *mesh.Duration {
	d := mesh.Duration(time.Duration(n) * time.Second)
	return &d
}

func edge(p mesh.Patience) *mesh.Edge {
	return &mesh.Edge{
		Patience: p, ConnectTimeout: *seconds(1), LB: "least_request",
		Outlier:  mesh.Outlier{Errors: 5, Every: *seconds(10), Eject: *seconds(30), Max: 50},
		Circuit:  mesh.Circuit{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
		Failover: mesh.Failover{Zones: true, Threshold: 70},
	}
}

func on(hosts ...string) []mesh.Version { return []mesh.Version{{Hosts: hosts}} }

func listen(protocol string) []mesh.Listen { return []mesh.Listen{{Protocol: protocol}} }

// sample has one of everything that a document may hold.
func sample() *mesh.Config {
	retry := &mesh.Retry{Attempts: 3, On: mesh.Names{"5xx", "reset"}, PerTry: seconds(1), Backoff: mesh.Duration(25 * time.Millisecond), Budget: 20}
	withFailover := edge(mesh.Patience{Timeout: seconds(2), Retry: retry})
	withFailover.Failover.To = []string{"spare"}
	hashed := edge(mesh.Patience{})
	hashed.LB, hashed.Hash = "maglev", "header:x-user"
	limit := &mesh.Limit{Count: 100, Per: *seconds(1), Burst: 200, By: "client", Shared: true}
	return &mesh.Config{
		Schema: mesh.Schema, Fleet: "shop", Domain: "mesh", TrustDomain: "shop-3fa9c1d2.nixmesh", Authorization: mesh.Declared,
		CA:        mesh.CA{LeafTTL: *seconds(72 * 3600), IntermediateTTL: *seconds(365 * 86400), Authorities: mesh.Names{"db1"}},
		Telemetry: mesh.Telemetry{AccessLog: "errors", OTLP: "10.0.0.9:4317", Sample: 1.5},
		Defaults: map[string]mesh.Defaults{
			"http": {Timeout: *seconds(15), IdleTimeout: *seconds(300)}, "http2": {Timeout: *seconds(15), IdleTimeout: *seconds(300)},
			"grpc": {IdleTimeout: *seconds(300)}, "tcp": {IdleTimeout: *seconds(3600)}, "redis": {IdleTimeout: *seconds(3600)},
			mesh.Upgraded: {IdleTimeout: *seconds(3600)},
		},
		Hosts: map[string]*mesh.Host{
			"app1":  {Address: "10.0.0.21", Zone: "eu/rack1"},
			"app2":  {Address: "10.0.0.22"},
			"db1":   {Address: "fd00::31", HostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINRu38q/QgCaVk/IrsdZG8pOsCkTgnvQqZb8fRbZm95h"},
			"edge1": {Address: "10.0.0.11"},
		},
		Services: map[string]*mesh.Service{
			"web": {Listens: listen("http"), Versions: on("app1", "app2"), Instances: 2, MTLS: "permissive", Connections: 100},
			"api": {
				Listens:  []mesh.Listen{{Name: "public", Protocol: "http"}, {Name: "admin", Protocol: "grpc"}},
				Versions: []mesh.Version{{Name: "v1", Hosts: mesh.Names{"app1", "app2"}}, {Name: "v2", Hosts: mesh.Names{"app2"}}},
				Split:    map[string]mesh.Percent{"v1": 66.7, "v2": 33.3}, Sticky: "version", Instances: 1, MTLS: "strict",
				Canary: &mesh.Canary{Steps: []mesh.Percent{10, 100}, Every: *seconds(600), MinSuccess: 99.5, MaxP99: seconds(1), MinRequests: 100},
				Allows: []mesh.Allow{
					{Caller: "operator/anna", Listen: "admin"},
					{Caller: "web", Methods: mesh.Names{"GET", "POST"}, Paths: []mesh.Path{{Kind: mesh.PathRegex, Text: "/v[0-9]+/.*"}},
						Headers: []mesh.Match{{Name: "x-team", Kind: mesh.MatchExact, Text: "shop"}}, Shadow: true, Limit: limit},
				},
				Routes: []mesh.Route{
					{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathExact, Text: "/old"}}, Handling: mesh.Handling{Redirect: &mesh.Redirect{To: "/new", Status: 302}}},
					{Rule: mesh.Rule{
						Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/reports/"}, From: mesh.Names{"public", "web"}, Methods: mesh.Names{"GET"},
						Headers: []mesh.Match{{Name: "x-beta", Kind: mesh.MatchPresent, Not: true}},
						Cookies: []mesh.Match{{Name: "beta", Kind: mesh.MatchRegex, Text: "1|2"}},
						Query:   []mesh.Match{{Name: "debug", Kind: mesh.MatchPresent}},
					}, Split: map[string]mesh.Percent{"v1": 50, "v2": 50}, Mirror: &mesh.Mirror{Version: "v2", Percent: 0.5},
						Handling: mesh.Handling{
							Patience: mesh.Patience{Timeout: seconds(30), IdleTimeout: seconds(0)}, Sticky: "s", Rewrite: "/",
							Request:  &mesh.HeaderChange{Set: map[string]string{"x-by": "nixmesh \u2028 <é>"}, Remove: mesh.Names{"x-debug"}},
							Response: &mesh.HeaderChange{Remove: mesh.Names{"server"}}, Limit: limit,
						}},
					{Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathRegex, Text: "/.*"}}, To: "v1"},
				},
			},
			"spare": {Listens: listen("http"), Versions: on("app1"), Instances: 1, MTLS: "strict"},
			"pg":    {Listens: listen("tcp"), Versions: on("db1"), Instances: 1, MTLS: "strict"},
			"job":   {Versions: on("app1"), Instances: 1, MTLS: "strict"},
		},
		Gateways: map[string]*mesh.Gateway{"public": {
			Hosts: mesh.Names{"edge1"}, Certificate: &mesh.Certificate{Source: mesh.CertACME, Mail: "ops@shop.example"},
			TLS:     map[string]*mesh.Certificate{"*.shop.example": {Source: mesh.CertFile, File: "certs/shop.pem"}},
			Listens: []mesh.GatewayListen{{Protocol: "http", Port: 80, Redirect: true}, {Protocol: "https", Port: 443, ProxyProtocol: true, From: mesh.Names{"192.0.2.10/32"}}, {Protocol: "tcp", Port: 5432, Service: "pg", From: mesh.Names{"192.0.2.0/24"}}},
			HTTP3:   true, MaxHeaders: 61440, MaxBody: 1 << 20, ClientTimeout: *seconds(30), BodyTimeout: *seconds(300), Connections: 10000,
			Auths: map[string]*mesh.Auth{"staff": {Issuer: "https://login.example", Audiences: mesh.Names{"shop"}, JWKS: "https://api.stripe.com/jwks.json", External: "stripe", Claims: map[string]string{"sub": "x-user"}, Timeout: mesh.Duration(200 * time.Millisecond)}, "ask": {Service: "spare", Timeout: *seconds(1)}},
			Routes: []mesh.GatewayRoute{
				{Host: "shop.example", Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/api/"}}, Auth: mesh.Names{"staff"}, MaxBody: 4096,
					Targets:  []mesh.Target{{Service: "api", Version: "v1", Percent: 90}, {Service: "web", Percent: 10}},
					Mirror:   &mesh.Mirror{Service: "api", Version: "v2", Percent: 100},
					CORS:     &mesh.CORS{Origins: mesh.Names{"*"}, MaxAge: seconds(600)},
					Handling: mesh.Handling{Patience: mesh.Patience{Timeout: seconds(20), Retry: retry}}},
				{Host: "*.shop.example", Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/"}}, Handling: mesh.Handling{Respond: &mesh.Respond{Status: 404, Body: "no\n"}}},
			},
		}},
		Externals: map[string]*mesh.External{"stripe": {Protocol: "http", Hosts: []mesh.Endpoint{{Host: "api.stripe.com", Port: 443}},
			Via: mesh.Names{"edge1"}, TLS: "originate", ServerName: "api.stripe.com", CA: "system", Cert: "certs/client.pem"}},
		Operators: map[string]*mesh.Operator{"anna": {Access: mesh.Names{"api", "pg"}}},
		Edges: map[string]map[string]*mesh.Edge{
			"web": {"api:public": withFailover, "spare": edge(mesh.Patience{Timeout: seconds(1)})},
			"api": {"pg": edge(mesh.Patience{}), "stripe": hashed},
			"job": {"api:admin": edge(mesh.Patience{IdleTimeout: seconds(60)})},
			"public": {"api:public": edge(mesh.Patience{}), "web": edge(mesh.Patience{}), "pg": edge(mesh.Patience{}),
				"spare": edge(mesh.Patience{}), "stripe": edge(mesh.Patience{})},
		},
	}
}
