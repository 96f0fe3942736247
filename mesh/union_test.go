package mesh_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/mesh"
)

func drawUnion(t *rapid.T) (live, next, both *mesh.Config) {
	live, next = drawConfig(t), drawConfig(t)
	for _, c := range []*mesh.Config{live, next} {
		if err := c.Validate(); err != nil {
			t.Fatalf("the test's own: %v", err)
		}
	}
	before := live.Hash() + next.Hash()
	both, err := mesh.Union(live, next)
	if err != nil {
		t.Fatal(err)
	}
	if live.Hash()+next.Hash() != before {
		t.Fatal("it changed what it was made of")
	}
	return live, next, both
}

// mixed says whether a callee has a listen without a name beside named ones,
// which an allow cannot tell apart.
func mixed(c *mesh.Config, callee string) bool {
	s := c.Services[callee]
	return s != nil && len(s.Listens) > 1 && s.Listens[0].Name == ""
}

func TestUnionAllowsWhatEitherAllows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		live, next, both := drawUnion(rt)
		for range 20 {
			r := drawRequest(rt)
			if r.Listen == "" && (both.Services[r.Callee] == nil || both.Services[r.Callee].Listen("") == nil || both.Services[r.Callee].Listen("").Name != "") && r.Callee != "x" {
				continue // the first listen is not the same one everywhere
			}
			if has(live, r) && has(next, r) && protocol(live, r) != protocol(next, r) {
				continue // what an allow admits on tcp is another thing
			}
			x, y, z := live.Allowed(r), next.Allowed(r), both.Allowed(r)
			either := x.Allowed && has(live, r) || y.Allowed && has(next, r)
			operator := strings.HasPrefix(r.Caller, "operator/") // has access to services, not listens
			if either && !z.Allowed || z.Allowed && !either && !mixed(both, r.Callee) && !operator {
				rt.Fatalf("%+v\nlive %+v\nnext %+v\nboth %+v\nto the union: %v\nto next: %v", r, x, y, z, mesh.Diff(live, both), mesh.Diff(both, next))
			}
		}
	})
}

// has says whether a configuration has the very listen that a request is for.
func has(c *mesh.Config, r mesh.Request) bool {
	s := c.Services[r.Callee]
	return s == nil || s.Listen(r.Listen) != nil && s.Listen(r.Listen).Name == r.Listen
}

func protocol(c *mesh.Config, r mesh.Request) string {
	if s := c.Services[r.Callee]; s != nil {
		return s.Listen(r.Listen).Protocol
	}
	return ""
}

// What goes through with the live configuration goes the same way with the
// union, to the same hosts and perhaps more.
func TestUnionStopsNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		live, _, both := drawUnion(rt)
		for range 20 {
			r := drawRequest(rt)
			x, err := live.Explain(r)
			if err != nil || !has(live, x.Asked) {
				continue
			}
			y, err := both.Explain(x.Asked)
			if err != nil {
				rt.Fatal(err)
			}
			same := x.Answer == y.Answer && x.Timeout == y.Timeout && x.Protocol == y.Protocol && x.Received.Path == y.Received.Path && slices.EqualFunc(x.To, y.To, func(a, b mesh.Share) bool {
				return a.Version == b.Version && a.Percent == b.Percent && !slices.ContainsFunc(a.Endpoints, func(at string) bool {
					host, _, _ := strings.Cut(at, " ")
					return !slices.ContainsFunc(b.Endpoints, func(at string) bool { return strings.HasPrefix(at, host) })
				})
			})
			if x.Verdict.Allowed && (!y.Verdict.Allowed || !same) {
				rt.Fatalf("live %+v\nboth %+v", x, y)
			}
		}
	})
}

// Nothing that has a name in either is missing, so the way to the union only
// adds such things, and the way on to next only removes them.
func TestUnionHoldsEverything(t *testing.T) {
	t.Parallel()
	named := []string{"host", "service", "version", "external", "gateway", "operator", "edge", "listen"}
	rapid.Check(t, func(rt *rapid.T) {
		live, next, both := drawUnion(rt)
		for _, change := range mesh.Diff(live, both) {
			if slices.Contains(named, change.Kind) && change.Op == "-" || change.Kind == "split" && change.After == "not given" || change.Kind == "route" || change.Kind == "order" {
				rt.Fatalf("to the union: %s", change)
			}
		}
		for _, change := range mesh.Diff(both, next) {
			if slices.Contains(named, change.Kind) && change.Op == "+" {
				rt.Fatalf("to next: %s", change)
			}
		}
		for _, c := range []*mesh.Config{live, next} {
			for name, s := range c.Services {
				for host := range c.Hosts {
					if s.RunsOn(host) && !both.Services[name].RunsOn(host) {
						rt.Fatalf("%s on %s is not placed", name, host)
					}
				}
				if both.Services[name].Instances < s.Instances {
					rt.Fatalf("%d instances of %s", both.Services[name].Instances, name)
				}
			}
		}
	})
}

// A deploy that goes on, or begins again, publishes what there is already.
func TestUnionAgain(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		live, next, both := drawUnion(rt)
		for _, c := range []*mesh.Config{live, next, both} {
			if same, err := mesh.Union(c, c); err != nil || same.Hash() != c.Hash() {
				rt.Fatalf("%v: of itself: %v", err, mesh.Diff(c, same))
			}
		}
		again, err := mesh.Union(both, next)
		if err != nil || again.Hash() != both.Hash() {
			rt.Fatalf("%v: again: %v", err, mesh.Diff(both, again))
		}
		text := both.Canonical()
		if _, err := mesh.Parse(text); err != nil {
			rt.Fatal(err)
		}
	})
}

// An allow on a listen to which its caller has no edge admits to nothing, and goes on
// to, though the union has the other's edge to that listen.
func TestUnionRaisesNoAllow(t *testing.T) {
	t.Parallel()
	config := func(listen string, allows ...mesh.Allow) *mesh.Config {
		c := shop()
		c.Services["api"].Listens = []mesh.Listen{{Name: "pub", Protocol: "http"}, {Name: "raw", Protocol: "tcp"}}
		c.Services["api"].Allows = allows
		c.Gateways = nil
		delete(c.Edges, "public")
		delete(c.Edges["web"], "api")
		delete(c.Edges["worker"], "api")
		c.Edges["web"][mesh.EdgeName("api", listen)] = edge(mesh.Patience{})
		return c
	}
	get := mesh.Allow{Caller: "web", Listen: "pub", Methods: mesh.Names{"GET"}}
	live := config("raw", mesh.Allow{Caller: "web", Listen: "pub"}, mesh.Allow{Caller: "web", Shadow: true})
	both, err := mesh.Union(live, config("pub", get))
	if err != nil {
		t.Fatal(err)
	}
	for method, allowed := range map[string]bool{"GET": true, "PUT": false} {
		if v := both.Allowed(mesh.Request{Caller: "web", Callee: "api", Listen: "pub", Method: method, Path: "/"}); v.Allowed != allowed {
			t.Errorf("%s: %+v by %+v", method, v, both.Services["api"].Allows)
		}
	}
}

func TestUnion(t *testing.T) {
	t.Parallel()
	if same, err := mesh.Union(sample(), sample()); err != nil || same.Hash() != sample().Hash() {
		t.Errorf("of the sample with itself: %v", err)
	}
	if first, err := mesh.Union(nil, shop()); err != nil || first.Hash() != shop().Hash() {
		t.Errorf("before there is one: %v", err)
	}
	for _, c := range []struct {
		name string
		next func(*mesh.Config)
		want []string // from live to the union
		then []string // from the union to next
	}{
		{"an edge goes, another comes", func(c *mesh.Config) {
			delete(c.Edges["web"], "redis")
			c.Edges["web"]["postgres"] = edge(mesh.Patience{})
		}, []string{"+ edge web -> postgres"}, []string{"- edge web -> redis"}},
		{"a caller is narrowed", func(c *mesh.Config) {
			c.Services["web"].Allows = []mesh.Allow{{Caller: "public", Methods: mesh.Names{"GET"}}}
		},
			[]string{"~ allow public -> web any path -> any path; GET any path"}, []string{"~ allow public -> web any path; GET any path -> GET any path"}},
		{"a caller is widened", func(c *mesh.Config) { c.Services["api"].Allows = c.Services["api"].Allows[1:] },
			[]string{"~ allow web -> api GET, POST any path -> any path; GET, POST any path"}, []string{"~ allow web -> api any path; GET, POST any path -> any path"}},
		{"from declared to explicit, with an allow for some", func(c *mesh.Config) {
			c.Authorization = mesh.Explicit
			c.Services["redis"].Allows = []mesh.Allow{{Caller: "web"}}
			c.Services["postgres"].Allows = []mesh.Allow{{Caller: "api"}, {Caller: "worker"}}
			c.Services["web"].Allows = []mesh.Allow{{Caller: "public"}}
			c.Services["api"].Allows = append(c.Services["api"].Allows, mesh.Allow{Caller: "public"})
		}, []string{"~ fleet authorization declared -> explicit"},
			[]string{"~ allow api -> redis any connection -> nothing", "~ allow worker -> redis any connection -> nothing"}},
		{"a split changes, and a version comes", func(c *mesh.Config) {
			c.Services["api"].Versions = append(c.Services["api"].Versions, mesh.Version{Name: "v3", Hosts: mesh.Names{"app1"}})
			c.Services["api"].Split = map[string]mesh.Percent{"v1": 50, "v3": 50}
		}, []string{"+ version api v3"}, []string{"~ split api v1 90, v2 10 -> v1 50, v3 50"}},
		{"a service gets versions", func(c *mesh.Config) {
			c.Services["web"].Versions = []mesh.Version{{Name: "v1", Hosts: mesh.Names{"app1", "app2"}}}
		},
			[]string{"+ version web v1"}, []string{"- version web"}},
		{"a route changes", func(c *mesh.Config) { c.Services["api"].Routes = nil }, nil, []string{"- route api /reports/"}},
		{"a host moves, another comes", func(c *mesh.Config) {
			c.Hosts["app1"].Address, c.Hosts["app3"] = "10.0.1.21", &mesh.Host{Address: "10.0.0.23"}
			c.Services["web"].Versions = on("app1", "app3")
		}, []string{"~ host app1 address 10.0.0.21 -> 10.0.1.21", "+ host app3", "~ version web hosts app1, app2 -> app1, app2, app3"},
			[]string{"~ version web hosts app1, app2, app3 -> app1, app3"}},
		{"a port of a gateway is for others", func(c *mesh.Config) {
			c.Gateways["public"].Listens = append(c.Gateways["public"].Listens, mesh.GatewayListen{Protocol: "tcp", Port: 90, Service: "redis", From: mesh.Names{"192.0.2.0/24"}})
			c.Edges["public"]["redis"] = edge(mesh.Patience{})
		}, []string{"+ edge public -> redis", "+ listen public tcp 90"}, nil},
		{"a port of a gateway is for some only", func(c *mesh.Config) {
			c.Gateways["public"].Listens[1].From = mesh.Names{"192.0.2.0/24"}
		}, nil, []string{"~ listen public https 443 from not given -> 192.0.2.0/24"}},
	} {
		next := shop()
		c.next(next)
		if err := next.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		both, err := mesh.Union(shop(), next)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		texts := func(changes []mesh.Change) (lines []string) {
			for _, change := range changes {
				lines = append(lines, change.String())
			}
			return lines
		}
		if got := texts(mesh.Diff(shop(), both)); !slices.Equal(got, c.want) {
			t.Errorf("%s: to the union\ngot  %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
		if got := texts(mesh.Diff(both, next)); !slices.Equal(got, c.then) {
			t.Errorf("%s: to next\ngot  %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.then, "\n     "))
		}
	}
}

func TestUnionRefuses(t *testing.T) {
	t.Parallel()
	kind := shop()
	delete(kind.Externals, "stripe")
	delete(kind.Edges["api"], "stripe")
	kind.Services["stripe"] = &mesh.Service{Listens: listen("http"), Versions: on("app1"), Instances: 1, MTLS: "strict"}
	other := shop()
	other.Fleet = "shoe"
	for _, c := range []struct {
		next *mesh.Config
		want string
	}{{kind, "unite mesh configurations: externals.stripe: services has the name, too"}, {other, `of the fleets "shop" and "shoe"`}} {
		if _, err := mesh.Union(shop(), c.next); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// What one of two releases does not know is kept by the union, too.
func TestUnionKeepsUnknownMembers(t *testing.T) {
	t.Parallel()
	with := func(member string) *mesh.Config {
		text := strings.Replace(string(shop().Canonical()), `"app1":{"address"`, `"app1":{"a`+member+`":1,"address"`, 1)
		c, err := mesh.Parse([]byte(strings.Replace(text, `{"authorization"`, `{"a`+member+`":{"x":[]},"authorization"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	both, err := mesh.Union(with("a"), with("b"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(append(both.Unknown.Members(), both.Hosts["app1"].Unknown.Members()...), " "); got != "aa ab aa ab" {
		t.Error(got)
	}
}

// What has no name beside what has one is of a union, and stands first there, so
// that asking for no name still finds it.
func TestUnionOfNamedAndUnnamed(t *testing.T) {
	t.Parallel()
	next := shop()
	next.Services["redis"].Listens = []mesh.Listen{{Name: "data", Protocol: "tcp"}, {Name: "admin", Protocol: "http"}}
	next.Services["redis"].Versions = []mesh.Version{{Name: "v1", Hosts: mesh.Names{"db1"}}}
	for _, caller := range []string{"web", "api", "worker"} {
		next.Edges[caller]["redis:data"] = next.Edges[caller]["redis"]
		delete(next.Edges[caller], "redis")
	}
	for _, c := range [][2]*mesh.Config{{shop(), next}, {next, shop()}} {
		both, err := mesh.Union(c[0], c[1])
		if err != nil {
			t.Fatal(err)
		}
		redis := both.Services["redis"]
		if redis.Listen("").Name != "" || redis.Listen("data") == nil || redis.Version("") == nil || redis.Version("v1") == nil {
			t.Errorf("%+v", redis)
		}
		x, err := both.Explain(mesh.Request{Caller: "web", Callee: "redis"})
		if want := c[0].Services["redis"].Versions[0].Name; err != nil || len(x.To) != 1 || x.To[0].Version != want {
			t.Errorf("calls go to %+v, want all to the live one's %q (%v)", x.To, want, err)
		}
		for _, swap := range []func(){func() { slices.Reverse(redis.Listens) }, func() { slices.Reverse(redis.Versions) }} {
			swap()
			if err := both.Validate(); err == nil || !strings.Contains(err.Error(), `"" is not a name of its own`) {
				t.Errorf("without a name, and not the first: %v", err)
			}
			swap()
		}
	}
}

// A caller that moves from one listen to another may do at each what was said of
// that one.
func TestUnionNarrowsEachListenByItself(t *testing.T) {
	t.Parallel()
	config := func(listen string, allow mesh.Allow) *mesh.Config {
		c := shop()
		c.Services["redis"].Listens = []mesh.Listen{{Name: "pub", Protocol: "http"}, {Name: "adm", Protocol: "http"}}
		c.Edges = map[string]map[string]*mesh.Edge{"web": {"redis:" + listen: edge(mesh.Patience{})}}
		c.Gateways, c.Services["api"].Allows = nil, nil
		c.Services["redis"].Allows = []mesh.Allow{allow}
		return c
	}
	live := config("pub", mesh.Allow{Caller: "web", Methods: mesh.Names{"GET"}})
	next := config("adm", mesh.Allow{Caller: "web", Paths: []mesh.Path{prefix("/x/")}})
	both, err := mesh.Union(live, next)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		listen, method, path string
		want                 bool
	}{
		{"pub", "GET", "/y", true}, {"pub", "PUT", "/x/", false},
		{"adm", "PUT", "/x/", true}, {"adm", "GET", "/y", false},
	} {
		if got := both.Allowed(mesh.Request{Caller: "web", Callee: "redis", Listen: c.listen, Method: c.method, Path: c.path}); got.Allowed != c.want {
			t.Errorf("%+v: got %+v", c, got)
		}
	}
}
