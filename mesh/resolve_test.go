package mesh_test

import (
	"testing"

	"github.com/nixmesh/nixmesh/mesh"
)

// "Timeouts and retries": route over upstream over the default, attribute by
// attribute; 15s for http and http2, none for grpc, upgraded connections and
// tcp; idle 5m and 1h; no retry.
func TestResolve(t *testing.T) {
	t.Parallel()
	retries := func(n int) *mesh.Retry { return &mesh.Retry{Attempts: n} }
	type given = mesh.Patience
	for _, c := range []struct {
		name     string
		protocol string
		upstream given
		gateway  *given
		route    *given
		upgraded bool

		timeout, idle              int // seconds
		retry                      int
		timeoutBy, idleBy, retryBy mesh.Source
	}{
		{name: "nothing given, http", protocol: "http",
			timeout: 15, timeoutBy: mesh.FromDefault, idle: 300, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "nothing given, http2", protocol: "http2",
			timeout: 15, timeoutBy: mesh.FromDefault, idle: 300, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "nothing given, grpc", protocol: "grpc",
			timeout: 0, timeoutBy: mesh.FromDefault, idle: 300, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "nothing given, tcp", protocol: "tcp",
			timeout: 0, timeoutBy: mesh.FromDefault, idle: 3600, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "nothing given, redis", protocol: "redis",
			timeout: 0, timeoutBy: mesh.FromDefault, idle: 3600, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "nothing given, upgraded", protocol: "http", upgraded: true,
			timeout: 0, timeoutBy: mesh.FromDefault, idle: 3600, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "the caller's timeout", protocol: "http", upstream: given{Timeout: seconds(2)},
			timeout: 2, timeoutBy: mesh.FromUpstream, idle: 300, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "the caller wants none", protocol: "http", upstream: given{Timeout: seconds(0)},
			timeout: 0, timeoutBy: mesh.FromUpstream, idle: 300, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "the route over the caller", protocol: "http", upstream: given{Timeout: seconds(2)}, route: &given{Timeout: seconds(30)},
			timeout: 30, timeoutBy: mesh.FromRoute, idle: 300, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "the route wants none", protocol: "http", upstream: given{Timeout: seconds(2)}, route: &given{Timeout: seconds(0)},
			timeout: 0, timeoutBy: mesh.FromRoute, idle: 300, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "each for itself", protocol: "http",
			upstream: given{Timeout: seconds(2), Retry: retries(3)}, route: &given{IdleTimeout: seconds(60)},
			timeout: 2, timeoutBy: mesh.FromUpstream, idle: 60, idleBy: mesh.FromRoute, retry: 3, retryBy: mesh.FromUpstream},
		{name: "a retry is taken whole", protocol: "http", upstream: given{Retry: retries(3)}, route: &given{Retry: retries(1)},
			timeout: 15, timeoutBy: mesh.FromDefault, idle: 300, idleBy: mesh.FromDefault, retry: 1, retryBy: mesh.FromRoute},
		{name: "a gateway's route in the upstream's place", protocol: "http", gateway: &given{Timeout: seconds(20), Retry: retries(2)},
			timeout: 20, timeoutBy: mesh.FromGatewayRoute, idle: 300, idleBy: mesh.FromDefault, retry: 2, retryBy: mesh.FromGatewayRoute},
		{name: "the callee's route over the gateway's", protocol: "http", gateway: &given{Timeout: seconds(20)}, route: &given{Timeout: seconds(30)},
			timeout: 30, timeoutBy: mesh.FromRoute, idle: 300, idleBy: mesh.FromDefault, retryBy: mesh.FromDefault},
		{name: "an upgraded connection has no answer to wait for", protocol: "http", upgraded: true,
			upstream: given{Timeout: seconds(2), IdleTimeout: seconds(60)}, route: &given{Timeout: seconds(30)},
			timeout: 0, timeoutBy: mesh.FromDefault, idle: 60, idleBy: mesh.FromUpstream, retryBy: mesh.FromDefault},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			config := sample()
			config.Services["spare"].Listens = listen(c.protocol)
			config.Edges["web"]["spare"] = edge(c.upstream)
			asked := mesh.Asked{Caller: "web", Upstream: "spare", Upgraded: c.upgraded}
			if c.route != nil {
				asked.Route = &mesh.Route{Handling: mesh.Handling{Patience: *c.route}}
			}
			if c.gateway != nil {
				asked.GatewayRoute = &mesh.GatewayRoute{Handling: mesh.Handling{Patience: *c.gateway}}
			}
			e, err := config.Resolve(asked)
			if err != nil {
				t.Fatal(err)
			}
			if e.Timeout != *seconds(c.timeout) || e.TimeoutFrom != c.timeoutBy {
				t.Errorf("timeout %s by %s, want %ds by %s", e.Timeout, e.TimeoutFrom, c.timeout, c.timeoutBy)
			}
			if e.IdleTimeout != *seconds(c.idle) || e.IdleTimeoutFrom != c.idleBy {
				t.Errorf("idle timeout %s by %s, want %ds by %s", e.IdleTimeout, e.IdleTimeoutFrom, c.idle, c.idleBy)
			}
			attempts := 0
			if e.Retry != nil {
				attempts = e.Retry.Attempts
			}
			if attempts != c.retry || e.RetryFrom != c.retryBy {
				t.Errorf("%d retries by %s, want %d by %s", attempts, e.RetryFrom, c.retry, c.retryBy)
			}
		})
	}
}

func TestResolveWithoutAnEdge(t *testing.T) {
	t.Parallel()
	for asked, want := range map[mesh.Asked]string{
		{Caller: "web", Upstream: "pg"}:                     "web may not call pg",
		{Caller: "web", Upstream: "api", Listen: "admin"}:   "web may not call api:admin",
		{Caller: "web", Upstream: "apo"}:                    "nothing is named apo",
		{Caller: "web", Upstream: "api", Listen: "private"}: `api does not listen on "private"`,
		{Caller: "operator/anna", Upstream: "stripe"}:       "operator/anna may not call stripe",
	} {
		if _, err := sample().Resolve(asked); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
