package mesh_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/nixmesh/nixmesh/mesh"
)

// All that a document may hold, and what of it has to be told.
func TestNotActing(t *testing.T) {
	t.Parallel()
	c := sample()
	api := c.Services["api"]
	api.Routes[1].Query = append(api.Routes[1].Query, mesh.Match{Name: "q", Kind: mesh.MatchRegex, Text: "[0-9]+", Not: true})
	c.Externals["wild"] = &mesh.External{Protocol: "http", Hosts: []mesh.Endpoint{{Host: "*.example", Port: 443}}, TLS: "passthrough"}
	opaque := edge(mesh.Patience{Timeout: seconds(1), Retry: &mesh.Retry{Attempts: 1, On: mesh.Names{"5xx", "connect"}, Backoff: *seconds(1)}})
	opaque.LB, opaque.Hash, opaque.SlowStart = "ring_hash", "header:x-user", *seconds(5)
	opaque.Failover.To = []string{"pg", "stripe"}
	c.Edges["api"]["wild"] = opaque
	c.Services["pg"].Versions = []mesh.Version{{Name: "v15", Hosts: mesh.Names{"db1"}}, {Name: "v16", Hosts: mesh.Names{"app1"}}}
	c.Services["pg"].Split = map[string]mesh.Percent{"v15": 50, "v16": 50}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"api to pg: failover zones: with several versions, connections go to all zones alike",
		"api to wild: failover to stripe, which speaks another way: calls do not go there",
		"api to wild: hash by header:x-user: a connection has none, so each goes anywhere",
		"api to wild: retry: only a connection that was not made is tried again",
		"api to wild: slow_start with ring_hash: a new instance gets its whole share at once",
		"api to wild: timeout: a connection has no answer to wait for",
		"external stripe: via: calls leave from the caller's own host",
		"external wild: hosts with *: nobody reaches them",
		"gateway public: acme: the certificate is the mesh CA's, which browsers refuse",
		"gateway public: auth: its routes answer 503",
		"gateway public: http3: clients get HTTP/2",
		"gateway public: max_body of gRPC: calls are not bounded",
		"operator anna: access: no operator has a certificate to call with",
		"public to pg: failover zones: with several versions, connections go to all zones alike",
		"service api: a shared limit of a route: each host of a caller counts by itself",
		"service api: a shared limit of an allow: each of its hosts counts by itself",
		"service api: canary: nothing moves the shares by its steps",
		"service api: route /reports/: a query argument that must not match a pattern: the route takes nothing",
		"service web: mtls permissive: calls in the clear go to the application itself, past Envoy, where it listens for them",
		"telemetry: otlp: no call is traced",
	}
	if diff := cmp.Diff(want, c.NotActing()); diff != "" {
		t.Error(diff)
	}
	if list := (&mesh.Config{}).NotActing(); len(list) > 0 {
		t.Errorf("nothing is said and not done, but %q", list)
	}
}
