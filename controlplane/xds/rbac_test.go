package xds

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	rbacconfigv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	networkinputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/network/v3"
	sslinputv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/matching/common_inputs/ssl/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// TestRules shows the rules of callers that nothing narrows, that allows narrow in
// each way, that only shadows look at, and that an explicit fleet does not know.
func TestRules(t *testing.T) {
	api := service(on("app1"), mesh.Listen{Name: "public", Protocol: "http"}, mesh.Listen{Name: "admin", Protocol: "http"})
	api.Allows = []mesh.Allow{
		{Caller: "web", Methods: mesh.Names{"GET", "POST"}, Listen: "public", Limit: &mesh.Limit{Count: 100, Per: seconds(1), Burst: 200, By: "caller"}},
		{Caller: "web", Paths: []mesh.Path{{Kind: mesh.PathPrefix, Text: "/a/"}, {Kind: mesh.PathExact, Text: "/b"}, {Kind: mesh.PathRegex, Text: "/c[0-9]+"}},
			Headers: []mesh.Match{{Name: "X-Team", Kind: mesh.MatchExact, Text: "shop"}, {Name: "x-debug", Kind: mesh.MatchPresent, Not: true}}},
		{Caller: "worker", Listen: "admin", Limit: &mesh.Limit{Count: 10, Per: seconds(60), Burst: 10, By: "client"}},
		{Caller: "cron", Methods: mesh.Names{"GET"}, Shadow: true},
	}
	c := meshOf(map[string]*mesh.Service{"api": api, "web": service(on("app2")), "worker": service(on("app2")), "cron": service(on("app2")), "new": service(on("app2"))})
	c.Authorization = mesh.Explicit
	c.Operators = map[string]*mesh.Operator{"anna": {Access: mesh.Names{"api"}}}
	for _, caller := range []string{"web", "worker", "cron", "new"} {
		calls(c, caller, "api:public")
	}
	calls(c, "worker", "api:admin")
	golden(t, "rbac", Build(input(t, c, runs("api", "",
		hostfacts.Listen{Name: "public", Protocol: "http", Port: 20001}, hostfacts.Listen{Name: "admin", Protocol: "http", Port: 20002},
	))), only("TypedExtensionConfig *"))
}

var (
	ruleCallers = []string{"a", "b", "c", "operator/anna"}
	rulePaths   = []mesh.Path{
		{Kind: mesh.PathPrefix, Text: "/"}, {Kind: mesh.PathPrefix, Text: "/a/"}, {Kind: mesh.PathPrefix, Text: "/b/c/"}, {Kind: mesh.PathExact, Text: "/a"},
		{Kind: mesh.PathExact, Text: "/x?y"}, {Kind: mesh.PathRegex, Text: "/x.y"}, {Kind: mesh.PathRegex, Text: "/a/[0-9]+"}, {Kind: mesh.PathRegex, Text: "/b|/a/.*"},
		{Kind: mesh.PathRegex, Text: "^/a/b$"},
	}
	askedPaths = []string{
		"/", "/a", "/a/", "/a/b", "/a/1", "/a/12?x=1", "/b", "/b/c/d", "/x.y", "/x?y", "/x-y", "/a/../b", "/a/./b", "/a//b", "/b/../a/b", "/a%2Fb", "/b%2fc%2Fd",
		"/%61/b", "/a/%2e%2e/b", "/a\\b", "/a/..", "/a/%31", "/a?/b/c/", "/b/c/..%2f..%2fa%2fb", "/A/B", "/a;b", "/%2e%2e/a", "/a/%2E%2E%2Fb", "/%C3%A9", "/a/%25%32%66b", "/%5ca", "/a%5Cb", "/a/...", "/a/.b", "/%2fa", "/a/b/", "/a/b/.", "/~a", "/%7Ea", "/a%20b", "/a/b%3Fx", "/x%3Fy",
	}
	ruleHeaders = []mesh.Match{
		{Name: "X-Team", Kind: mesh.MatchExact, Text: "shop"}, {Name: "x-team", Kind: mesh.MatchPresent}, {Name: "x-team", Kind: mesh.MatchRegex, Text: "s.*|x"},
		{Name: "x-team", Kind: mesh.MatchExact, Text: "shop", Not: true}, {Name: "x-team", Kind: mesh.MatchPresent, Not: true}, {Name: "x-team", Kind: mesh.MatchRegex, Text: "s.*", Not: true},
	}
	askedTeams = []string{"", "shop", "x", "other"}
)

// ruled gives a service random allows, of which each is valid.
func ruled(c *mesh.Config, name string, pick func(n int) int) {
	some := func(n int) bool { return pick(n) == 0 }
	s := service(on("app1"), mesh.Listen{Name: "pub", Protocol: "http"}, mesh.Listen{Name: "adm", Protocol: "grpc"})
	c.Services[name] = s
	for _, caller := range ruleCallers {
		operator := isOperator(caller)
		if !operator && some(4) {
			continue
		}
		if !operator {
			calls(c, caller, name+":pub")
			if some(2) {
				calls(c, caller, name+":adm")
			}
		}
		for range pick(4) {
			a := mesh.Allow{Caller: caller, Shadow: some(3)}
			if some(2) {
				a.Methods = [...]mesh.Names{{"GET"}, {"PUT"}, {"GET", "PUT"}}[pick(3)]
			}
			for range pick(3) {
				a.Paths = append(a.Paths, rulePaths[pick(len(rulePaths))])
			}
			for range pick(3) - 1 {
				a.Headers = append(a.Headers, ruleHeaders[pick(len(ruleHeaders))])
			}
			if some(4) {
				a.Listen = [...]string{"pub", "adm"}[pick(2)]
			}
			s.Allows = append(s.Allows, a)
		}
	}
}

func ruledMesh(services []string, pick func(n int) int) *mesh.Config {
	c := meshOf(map[string]*mesh.Service{"a": service(on("app1")), "b": service(on("app2")), "c": service(on("app2"))})
	if pick(3) == 0 {
		c.Authorization = mesh.Explicit
	}
	c.Operators = map[string]*mesh.Operator{"anna": {Access: mesh.Names(services)}}
	for _, name := range services {
		ruled(c, name, pick)
	}
	return c
}

func asked(callee string, pick func(n int) int) mesh.Request {
	r := mesh.Request{Caller: ruleCallers[pick(len(ruleCallers))], Callee: callee, Listen: [...]string{"pub", "adm"}[pick(2)],
		Method: [...]string{"GET", "PUT", "POST"}[pick(3)], Path: askedPaths[pick(len(askedPaths))]}
	if team := askedTeams[pick(len(askedTeams))]; team != "" {
		r.Headers = map[string]string{"x-team": team}
	}
	return r
}

// TestRulesAgree holds the trees to mesh.Config.Allowed, for paths in the form in
// which Envoy compares them.
func TestRulesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
		c := ruledMesh([]string{"api"}, pick)
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			r := asked("api", pick)
			r.Path = [...]string{"/", "/a", "/a/", "/a/b", "/b", "/b/c/d", "/x.y", "/x?y", "/x-y", "/a/12?x=/b"}[pick(10)]
			enforced, shadow := judges(c, "api", r.Listen)
			got, rule := judge(enforced, callerID(testDomain, r.Caller), r)
			want := c.Allowed(r)
			if got != want.Allowed {
				t.Fatalf("%+v: the tree says %v by %s, the mesh %+v", r, got, rule, want)
			}
			if want.Why == mesh.WhyAllow && rule != r.Caller+"."+ruleAllow(want.Allow) {
				t.Fatalf("%+v: the tree's rule is %s, the mesh's %+v", r, rule, want)
			}
			counted := false
			if shadow != nil {
				passes, _ := judge(shadow, callerID(testDomain, r.Caller), r)
				counted = !passes
			}
			if counted != want.Counted {
				t.Fatalf("%+v: the shadow counts %v, the mesh %+v", r, counted, want)
			}
		}
	})
}

// TestRealRulesAgree holds a real Envoy to it, for paths as clients may write them.
func TestRealRulesAgree(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	pick := rand.New(rand.NewPCG(seed, 0)).IntN
	var services []string
	for i := range 12 {
		services = append(services, fmt.Sprint("s", i))
	}
	ca := newAuthority(t)
	c := ruledMesh(services, pick)
	c.Hosts["app1"].Address = loopback(t)
	port, port2 := backend(t, false), backend(t, true)
	var instances []hostfacts.Instance
	for _, name := range services {
		instances = append(instances, runs(name, "", hostfacts.Listen{Name: "pub", Protocol: "http", Port: port}, hostfacts.Listen{Name: "adm", Protocol: "grpc", Port: port2}))
	}
	in := input(t, c, instances...)
	in.Facts.Mesh.Roots = string(ca.pem)
	b := &builder{in: in, built: map[Key]*Resource{}}
	b.secrets()
	b.inbound()
	e := startEnvoy(t, ca, b.output())
	address := e.address(InboundListener)
	clients := map[string]*http.Client{}
	for range 2000 {
		r := asked(services[pick(len(services))], pick)
		serverName := ServerName("mesh", r.Callee, r.Listen, "")
		key := r.Caller + " " + serverName
		if clients[key] == nil {
			clients[key] = client(t, address, ca.caller(callerID(testDomain, r.Caller), serverName, "h2"))
		}
		request := &http.Request{Method: r.Method, URL: &url.URL{Scheme: "https", Host: serverName, Opaque: r.Path}, Header: http.Header{}}
		for name, value := range r.Headers {
			request.Header.Set(name, value)
		}
		answer, err := clients[key].Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		want := c.Allowed(r)
		if got := answer.StatusCode == 200; got != want.Allowed || answer.StatusCode != 200 && answer.StatusCode != 403 {
			t.Errorf("%+v: envoy answers %s, the mesh says %+v; allows %+v", r, answer.Status, want, c.Services[r.Callee].Allows)
		}
	}
}

// judge evaluates a tree as Envoy does: the verdict, and the rule that gave it.
func judge(m *xdsmatcherv3.Matcher, id string, r mesh.Request) (allowed bool, rule string) {
	decide := func(on *xdsmatcherv3.Matcher_OnMatch) (bool, string) {
		if inner := on.GetMatcher(); inner != nil {
			return judge(inner, id, r)
		}
		action := &rbacconfigv3.Action{}
		if err := on.GetAction().TypedConfig.UnmarshalTo(action); err != nil {
			return false, err.Error()
		}
		return action.Action == rbacconfigv3.RBAC_ALLOW, action.Name
	}
	if tree := m.GetMatcherTree(); tree != nil {
		if tree.Input.TypedConfig.MessageIs(&sslinputv3.UriSanInput{}) {
			if on := tree.GetExactMatchMap().Map[id]; on != nil {
				return decide(on)
			}
		}
	}
	for _, entry := range m.GetMatcherList().GetMatchers() {
		if holds(entry.Predicate, r) {
			return decide(entry.OnMatch)
		}
	}
	return decide(m.OnNoMatch)
}

func holds(p *predicate, r mesh.Request) bool {
	switch p := p.MatchType.(type) {
	case *xdsmatcherv3.Matcher_MatcherList_Predicate_NotMatcher:
		return !holds(p.NotMatcher, r)
	case *xdsmatcherv3.Matcher_MatcherList_Predicate_AndMatcher:
		for _, inner := range p.AndMatcher.Predicate {
			if !holds(inner, r) {
				return false
			}
		}
		return true
	case *xdsmatcherv3.Matcher_MatcherList_Predicate_OrMatcher:
		for _, inner := range p.OrMatcher.Predicate {
			if holds(inner, r) {
				return true
			}
		}
		return false
	case *xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate_:
		return singleHolds(p.SinglePredicate, r)
	}
	return false
}

func singleHolds(p *xdsmatcherv3.Matcher_MatcherList_Predicate_SinglePredicate, r mesh.Request) bool {
	value, given := "", false
	header, state := &matcherv3.HttpRequestHeaderMatchInput{}, &networkinputv3.FilterStateInput{}
	switch {
	case p.Input.TypedConfig.UnmarshalTo(header) == nil && header.HeaderName == ":method":
		value, given = r.Method, true
	case p.Input.TypedConfig.MessageIs(header):
		value, given = r.Headers[header.HeaderName]
	case p.Input.TypedConfig.UnmarshalTo(state) == nil && state.Key == pathState:
		value, _, _ = strings.Cut(r.Path, "?")
		given = true
	}
	if !given {
		return false
	}
	switch m := p.GetValueMatch().MatchPattern.(type) {
	case *xdsmatcherv3.StringMatcher_Exact:
		return value == m.Exact
	case *xdsmatcherv3.StringMatcher_Prefix:
		return strings.HasPrefix(value, m.Prefix)
	case *xdsmatcherv3.StringMatcher_SafeRegex:
		return regexp.MustCompile(`^(?:` + m.SafeRegex.Regex + `)$`).MatchString(value)
	}
	return false
}
