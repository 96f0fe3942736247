package xds

import (
	"reflect"
	"slices"
	"testing"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// endsBefore is a configuration of which changes are made: web and a gateway call what
// is HTTP and what is not.
func endsBefore() *mesh.Config {
	c := meshOf(map[string]*mesh.Service{
		"web": service(on("app1")), "api": service(on("app1"), mesh.Listen{Protocol: "http"}),
		"db": service(on("app1"), mesh.Listen{Protocol: "tcp"}), "spare": service(on("app2"), mesh.Listen{Protocol: "tcp"}),
	})
	calls(c, "web", "api", "db", "spare")
	calls(c, "public", "api")
	c.Gateways = map[string]*mesh.Gateway{"public": {
		Hosts: mesh.Names{"app1"}, Listens: []mesh.GatewayListen{{Protocol: "http", Port: 8080}}, MaxHeaders: 32 << 10, ClientTimeout: seconds(10), Connections: 1000,
		Routes: []mesh.GatewayRoute{{Host: "shop.example", Targets: []mesh.Target{{Service: "api", Percent: 100}}, Rule: mesh.Rule{Path: mesh.Path{Kind: mesh.PathPrefix, Text: "/"}}}},
	}}
	return c
}

// listenersOf are the listeners of a configuration on app1.
func listenersOf(t *testing.T, c *mesh.Config) map[string]string {
	t.Helper()
	in := input(t, c, runs("web", ""), runs("api", "", hostfacts.Listen{Protocol: "http", Port: 20001}), runs("db", "", hostfacts.Listen{Protocol: "tcp", Port: 20002}))
	calling(in, "web", "api", "db", "spare")
	listeners := map[string]string{}
	out := Build(in)
	for _, p := range out.Problems {
		t.Error(p.Text)
	}
	for _, r := range out.Resources {
		if r.Type == Listener {
			listeners[r.Name] = r.Version
		}
	}
	return listeners
}

// A plan says of each change whether it ends open connections: it does where the
// listener that carries them is another one.
func TestEndsAreTheListenersThatChange(t *testing.T) {
	const db, spare, gateway = "out:web:db", "out:web:spare", "gw:8080"
	edge := func(c *mesh.Config, name string) *mesh.Edge { return c.Edges["web"][name] }
	for name, tt := range map[string]struct {
		change func(c *mesh.Config)
		want   mesh.Ended
		others []string // listeners that change
	}{
		"nothing":                  {change: func(*mesh.Config) {}},
		"access log":               {func(c *mesh.Config) { c.Telemetry.AccessLog = "all" }, mesh.Ended{All: true}, []string{gateway, "in:mtls", "out:web:api", db, spare}},
		"idle time of tcp":         {func(c *mesh.Config) { edge(c, "db").IdleTimeout = new(seconds(60)) }, mesh.Ended{Edges: []string{"web -> db"}}, []string{db}},
		"idle time of http":        {change: func(c *mesh.Config) { edge(c, "api").IdleTimeout = new(seconds(60)) }},
		"idle time of all tcp":     {func(c *mesh.Config) { c.Defaults["tcp"] = mesh.Defaults{IdleTimeout: seconds(60)} }, mesh.Ended{Edges: []string{"web -> db", "web -> spare"}}, []string{db, spare}},
		"the same idle time, said": {change: func(c *mesh.Config) { edge(c, "db").IdleTimeout = new(seconds(3600)) }},
		"retry of tcp": {func(c *mesh.Config) {
			edge(c, "db").Retry = &mesh.Retry{Attempts: 2, On: mesh.Names{"connect"}, Backoff: seconds(1), Budget: 20}
		}, mesh.Ended{Edges: []string{"web -> db"}}, []string{db}},
		"retry of http": {change: func(c *mesh.Config) {
			edge(c, "api").Retry = &mesh.Retry{Attempts: 2, On: mesh.Names{"connect"}, Backoff: seconds(1), Budget: 20}
		}},
		"first failover of tcp":  {func(c *mesh.Config) { edge(c, "db").Failover.To = []string{"spare"} }, mesh.Ended{Edges: []string{"web -> db"}}, []string{db}},
		"threshold of tcp":       {change: func(c *mesh.Config) { edge(c, "db").Failover.Threshold = 50 }},
		"connect timeout of tcp": {change: func(c *mesh.Config) { edge(c, "db").ConnectTimeout = seconds(2) }},
		"hash of tcp":            {func(c *mesh.Config) { edge(c, "db").LB, edge(c, "db").Hash = "maglev", "source" }, mesh.Ended{Edges: []string{"web -> db"}}, []string{db}},
		"headers of a gateway":   {func(c *mesh.Config) { c.Gateways["public"].MaxHeaders = 16 << 10 }, mesh.Ended{Gateways: []string{"public"}}, []string{gateway}},
		"patience of a gateway":  {func(c *mesh.Config) { c.Gateways["public"].ClientTimeout = seconds(5) }, mesh.Ended{Gateways: []string{"public"}}, []string{gateway}},
		"room of a gateway":      {func(c *mesh.Config) { c.Gateways["public"].Connections = 10 }, mesh.Ended{Gateways: []string{"public"}}, []string{gateway}},
		"bodies of a gateway":    {change: func(c *mesh.Config) { c.Gateways["public"].MaxBody = 1 << 20 }},
		"bound of a service":     {change: func(c *mesh.Config) { c.Services["db"].Connections = 10 }},
	} {
		t.Run(name, func(t *testing.T) {
			next := endsBefore()
			tt.change(next)
			if got := mesh.Ends(endsBefore(), next); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			before, after := listenersOf(t, endsBefore()), listenersOf(t, next)
			var others []string
			for name, version := range before {
				if after[name] != version {
					others = append(others, name)
				}
			}
			slices.Sort(others)
			if !slices.Equal(others, tt.others) {
				t.Errorf("listeners %v change, want %v", others, tt.others)
			}
		})
	}
}
