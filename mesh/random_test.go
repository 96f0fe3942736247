package mesh_test

import (
	"slices"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/mesh"
)

// drawer makes small valid configurations of one fleet that have much in common,
// as two releases do.
type drawer struct{ *rapid.T }

func (d drawer) yes(what string) bool { return rapid.Bool().Draw(d.T, what) }

func (d drawer) some(of []string, least int) []string {
	var names []string
	for _, name := range of {
		if d.yes(name) {
			names = append(names, name)
		}
	}
	for i := 0; len(names) < least; i++ {
		names = append(names, of[i])
	}
	return names
}

func one[V any](d drawer, what string, of ...V) V { return rapid.SampledFrom(of).Draw(d.T, what) }

func drawConfig(t *rapid.T) *mesh.Config {
	d := drawer{t}
	c := sample()
	c.Hosts, c.Services = map[string]*mesh.Host{}, map[string]*mesh.Service{}
	c.Gateways, c.Externals, c.Operators, c.Edges = nil, nil, nil, map[string]map[string]*mesh.Edge{}
	c.Authorization = one(d, "authorization", mesh.Declared, mesh.Declared, mesh.Explicit)
	c.TrustDomain = one(d, "trust domain", "", "shop-1")
	hosts := d.some([]string{"h1", "h2", "h3"}, 1)
	for i, name := range hosts {
		c.Hosts[name] = &mesh.Host{Address: one(d, "address", "10.0.0.", "10.0.1.") + string(rune('1'+i))}
	}
	c.CA.Authorities = hosts[:1]
	names := d.some([]string{"a", "b", "c"}, 1)
	for _, name := range names {
		c.Services[name] = d.service(hosts)
	}
	if d.yes("external") {
		c.Externals = map[string]*mesh.External{"x": {Protocol: "http", Hosts: []mesh.Endpoint{{Host: "x.example", Port: 443}}, TLS: "originate"}}
	}
	if d.yes("operator") {
		c.Operators = map[string]*mesh.Operator{"anna": {Access: d.some(names, 0)}}
	}
	gateway := d.yes("gateway")
	callers := names
	if gateway {
		callers = append(slices.Clip(callers), "g")
		c.Gateways = map[string]*mesh.Gateway{"g": {Hosts: hosts[:1], MaxHeaders: 1 << 16, ClientTimeout: *seconds(1), Connections: 1}}
	}
	for _, caller := range callers {
		c.Edges[caller] = d.edges(c, caller)
	}
	for _, name := range names {
		d.allows(c, name)
	}
	if gateway {
		d.gateway(c)
	}
	return c
}

func (d drawer) service(hosts []string) *mesh.Service {
	s := &mesh.Service{Instances: one(d, "instances", 1, 2), MTLS: "strict"}
	s.Listens = one(d, "listens", nil, listen("http"), listen("tcp"), listen("http"), []mesh.Listen{{Name: "pub", Protocol: "http"}},
		[]mesh.Listen{{Name: "raw", Protocol: "tcp"}, {Name: "pub", Protocol: "http"}}, []mesh.Listen{{Name: "pub", Protocol: "grpc"}, {Name: "raw", Protocol: "tcp"}})
	for _, version := range one(d, "versions", []string{""}, []string{"v1"}, []string{"v1", "v2"}, []string{"v2"}) {
		s.Versions = append(s.Versions, mesh.Version{Name: version, Hosts: d.some(hosts, 0)})
	}
	if len(s.Versions) == 2 && d.yes("split") {
		s.Split = map[string]mesh.Percent{"v1": 40, "v2": 60}
	}
	if d.yes("route") {
		r := mesh.Route{Rule: rule(one(d, "path", "/", "/a/", "~/a.*")), To: s.Versions[len(s.Versions)-1].Name}
		r.Rewrite = one(d, "rewrite", "", "/b/")
		s.Routes = append(s.Routes, r)
	}
	if d.yes("answer") {
		s.Routes = append(s.Routes, mesh.Route{Rule: rule("/b/"), Handling: mesh.Handling{Respond: &mesh.Respond{Status: 404}}})
	}
	return s
}

func (d drawer) edges(c *mesh.Config, caller string) map[string]*mesh.Edge {
	edges := map[string]*mesh.Edge{}
	for _, callee := range []string{"a", "b", "c"} {
		if s := c.Services[callee]; s != nil && callee != caller {
			for _, l := range s.Listens {
				if d.yes("edge") {
					edges[mesh.EdgeName(callee, l.Name)] = edge(mesh.Patience{Timeout: one(d, "timeout", nil, seconds(1), seconds(2))})
				}
			}
		}
	}
	if c.Externals != nil && d.yes("edge to x") {
		edges["x"] = edge(mesh.Patience{})
	}
	return edges
}

func (d drawer) allows(c *mesh.Config, name string) {
	s := c.Services[name]
	for _, caller := range []string{"a", "b", "c", "g", "operator/anna"} {
		calls := caller == "operator/anna" && c.Operators != nil && slices.Contains(c.Operators["anna"].Access, name)
		for edge := range c.Edges[caller] {
			upstream, _ := mesh.SplitEdgeName(edge)
			calls = calls || upstream == name
		}
		for range one(d, "allows", 0, 0, 1, 2) {
			if calls {
				a := mesh.Allow{Caller: caller, Methods: one(d, "methods", nil, mesh.Names{"GET"}), Shadow: one(d, "shadow", false, false, true)}
				if d.yes("paths") {
					a.Paths = []mesh.Path{prefix(one(d, "prefix", "/a/", "/b/"))}
				}
				if len(s.Listens) > 0 && d.yes("listen") {
					a.Listen = s.Listens[len(s.Listens)-1].Name
				}
				s.Allows = append(s.Allows, a)
			}
		}
	}
}

func (d drawer) gateway(c *mesh.Config) {
	g := c.Gateways["g"]
	for _, callee := range []string{"a", "b", "c"} {
		for _, name := range []string{callee, callee + ":pub", callee + ":raw"} {
			if c.Edges["g"][name] == nil {
				continue
			}
			upstream, listen := mesh.SplitEdgeName(name)
			if c.Services[upstream].Listen(listen).Protocol == "tcp" {
				g.Listens = append(g.Listens, mesh.GatewayListen{Protocol: "tcp", Port: one(d, "port", 5000, 5001), Service: upstream, From: mesh.Names{one(d, "from", "10.0.0.0/8", "192.0.2.0/24")}})
				g.Listens = g.Listens[:1]
				continue
			}
			versions := c.Services[upstream].Versions
			g.Routes = append(g.Routes, mesh.GatewayRoute{Host: one(d, "host", "x.example", "*.example"), Rule: rule(one(d, "path", "/", "/a/")),
				Targets: []mesh.Target{{Service: upstream, Version: one(d, "version", "", versions[len(versions)-1].Name), Percent: 100}}, Handling: mesh.Handling{Rewrite: one(d, "rewrite", "", "/")}})
		}
	}
}

// drawRequest makes a request that may or may not be allowed.
func drawRequest(t *rapid.T) mesh.Request {
	d := drawer{t}
	return mesh.Request{
		Caller: one(d, "caller", "a", "b", "c", "g", "operator/anna"), Callee: one(d, "callee", "a", "b", "c", "x"), Listen: one(d, "listen", "", "pub", "raw"),
		Host: one(d, "host", "", "x.example", "y.example"), Method: one(d, "method", "GET", "PUT"), Path: one(d, "path", "/", "/a/x", "/b/x", "/a", "/c"),
	}
}
