package xds

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/nixmesh/nixmesh/controlplane/catalog"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/mesh"
)

// heard is what an application got.
type heard struct {
	Version string
	Method  string
	Path    string // as it was written, with the query
	Header  http.Header
}

// application tells of each request what it got.
func application(t *testing.T, version string) int {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(heard{version, r.Method, r.RequestURI, r.Header})
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// drawnRoutes are routes of every kind, over few words, so that requests meet them.
func drawnRoutes(t *rapid.T) []mesh.Route {
	pick := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	some := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) == 0 }
	match := func(name string) []mesh.Match {
		if !some(name) {
			return nil
		}
		m := mesh.Match{Name: name, Kind: pick("kind", mesh.MatchExact, mesh.MatchPresent, mesh.MatchRegex), Not: rapid.Bool().Draw(t, "not")}
		switch m.Kind {
		case mesh.MatchExact:
			m.Text = pick("text", "1", "2", "a b", "")
		case mesh.MatchRegex:
			m.Text = pick("pattern", "1|2", "[0-9]+", "a.*", ".*", "")
		}
		return []mesh.Match{m}
	}
	var routes []mesh.Route
	for i := range rapid.IntRange(0, 6).Draw(t, "routes") {
		var r mesh.Route
		switch pick("path", mesh.PathPrefix, mesh.PathExact, mesh.PathRegex) {
		case mesh.PathPrefix:
			r.Path = mesh.Path{Kind: mesh.PathPrefix, Text: pick("prefix", "/", "/a/", "/a/b/", "/b/")}
			r.Rewrite = pick("rewrite", "", "", "/", "/x/", "/a/b/c/")
		case mesh.PathExact:
			r.Path = mesh.Path{Kind: mesh.PathExact, Text: pick("exact", "/", "/a", "/a/", "/a/b", "/b")}
			r.Rewrite = pick("rewrite", "", "", "/", "/x", "/y/")
		default:
			r.Path = mesh.Path{Kind: mesh.PathRegex, Text: pick("regex", "/a/.*", "/(a|b)(/.*)?", ".*", "/[ab]", "/[a-z]{1,200}/b")}
			r.Rewrite = pick("rewrite", "", "", "/x", `/y\1\2`, `/\0`, `/z\`, `/$1`)
		}
		if some("from") {
			r.From = mesh.Names{pick("caller", "web", "worker")}
		}
		if some("methods") {
			r.Methods = mesh.Names{"POST", "PUT"}
		}
		r.Headers, r.Cookies, r.Query = match("x-h"), match("c"), match("q")
		if len(r.Query) > 0 && r.Query[0].Not && r.Query[0].Kind == mesh.MatchRegex {
			r.Query = nil // Envoy has none
		}
		switch pick("action", "none", "to", "split", "redirect", "respond") {
		case "to":
			r.To = pick("version", "v1", "v2")
		case "split":
			r.Split = map[string]mesh.Percent{"v1": 50, "v2": 50}
		case "redirect":
			r.Redirect, r.Rewrite = &mesh.Redirect{To: fmt.Sprintf("/to/%d?100%%", i), Status: rapid.SampledFrom([]int{301, 302, 303, 307, 308}).Draw(t, "status")}, ""
		case "respond":
			r.Respond, r.Rewrite = &mesh.Respond{Status: 418, Body: fmt.Sprint("route ", i)}, ""
		}
		if some("request") {
			r.Request = &mesh.HeaderChange{Set: map[string]string{"X-Set": fmt.Sprintf("100%% %d", i), "x-both": "1"}, Remove: mesh.Names{"x-h", "X-Both"}}
		}
		if some("response") {
			r.Response = &mesh.HeaderChange{Set: map[string]string{"x-route": fmt.Sprint(i)}, Remove: mesh.Names{"x-gone"}}
		}
		routes = append(routes, r)
	}
	return routes
}

func drawnRequest(t *rapid.T) mesh.Request {
	pick := func(what string, of ...string) string { return rapid.SampledFrom(of).Draw(t, what) }
	var path strings.Builder
	for range rapid.IntRange(1, 4).Draw(t, "segments") {
		path.WriteString("/" + pick("segment", "a", "a", "b", "b", "", "A", "..", ".", "%61", "a%2Fb", "a%5Cb", "%2e%2e", "a%20b", "%C3%A4", "%c3%a4", "~", "%7e", "a;b", "a=b", "100%25", `a\b`, "[a]", "a|b", `"`, "...", "a.", "*", "a+b"))
	}
	r := mesh.Request{
		Caller: "web", Method: pick("method", "GET", "POST", "PUT", "DELETE"), Headers: map[string]string{},
		Path: path.String() + pick("query", "", "", "?q=1", "?q=2", "?q", "?q=", "?x=1&q=2", "?q=1&x=q", "?q=a%20b", "?q=a+b", "?%71=1", "?q=%31", "?x=q=1", "?aq=1", "?q=2&q=1", "?q&q=1", "?&q=1", "?", "?Q=1", "?q=1;x=2"),
	}
	if h := pick("header", "none", "1", "2", "a b", "", "12"); h != "none" {
		r.Headers["x-h"] = h
	}
	if c := pick("cookie", "", "c=1", "c=2", "d=1", "d=1; c=1", "c=", "cc=1", "c=12; d=2", `c="1"`, "c=1; c=2", "c=2;c=1", "c", "C=1", "c=a b"); c != "" {
		r.Headers["cookie"] = c
	}
	return r
}

// Envoy sends each request where mesh.Config.Explain says, and as it says: over
// both hops, in their real form, for routes of every kind.
func TestEnvoyRoutesAsExplained(t *testing.T) {
	const tables = 24
	services := map[string]*mesh.Service{"web": service(on("app1")), "worker": service(on("app1"))}
	var names []string
	for i := range tables {
		name := fmt.Sprintf("api%d", i)
		names = append(names, name)
		s := service([]mesh.Version{{Name: "v1", Hosts: mesh.Names{"app1"}}, {Name: "v2", Hosts: mesh.Names{"app1"}}}, mesh.Listen{Protocol: "http"})
		s.Split = map[string]mesh.Percent{"v1": 100}
		s.Routes = rapid.Custom(drawnRoutes).Example(i)
		services[name] = s
	}
	c := meshOf(services)
	c.Hosts["app1"].Address = loopback(t)
	calls(c, "web", names...)
	calls(c, "worker", names...)
	port := map[string]int{"v1": application(t, "v1"), "v2": application(t, "v2")}
	var instances []hostfacts.Instance
	for _, name := range names {
		for version, port := range port {
			instances = append(instances, runs(name, version, hostfacts.Listen{Protocol: "http", Port: port}))
		}
	}
	ca := newAuthority(t)
	in := input(t, c, instances...)
	in.Facts.Mesh.Roots = string(ca.pem)
	in.Endpoints = func(service string) []catalog.Endpoint { return up(c, service) }
	calling(in, "web", names...)
	for i := range in.Facts.Edges {
		in.Facts.Edges[i].EdgePort = 0
	}
	out := Build(in)
	for _, p := range out.Problems {
		t.Error(p.Text)
	}
	e := startEnvoy(t, ca, out)
	agree := &agreement{config: c, conns: map[string]*rawClient{}}
	for _, name := range names {
		agree.conns[name] = &rawClient{address: e.address("out:web:" + name)}
	}
	for c := range 256 { // but for what Envoy answers with 400: bytes that no URL has, and an encoded zero
		var paths []string
		if c > 0 {
			paths = append(paths, fmt.Sprintf("/x%%%02xy", c), fmt.Sprintf("/x%%%02XY", c))
		}
		if c > ' ' && c < 0x7f && !strings.ContainsRune("?#%", rune(c)) {
			paths = append(paths, "/x"+string(rune(c))+"y")
		}
		for _, path := range paths {
			agree.check(t, mesh.Request{Caller: "web", Callee: names[0], Path: path, Method: "GET"})
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		r := drawnRequest(t)
		r.Callee = rapid.SampledFrom(names).Draw(t, "callee")
		agree.check(t, r)
	})
}

type agreement struct {
	config *mesh.Config
	conns  map[string]*rawClient
}

func (a *agreement) check(t rapid.TB, r mesh.Request) {
	want, err := a.config.Explain(r)
	if err != nil {
		t.Fatal(err)
	}
	answer, body, err := a.conns[r.Callee].send(r)
	if err != nil {
		t.Fatal(err)
	}
	var route mesh.Route
	if want.Route >= 0 {
		route = a.config.Services[r.Callee].Routes[want.Route]
	}
	fail := func(format string, args ...any) {
		t.Fatalf("%s\nasked %+v\nroute %d %+v\nanswer %d %q", fmt.Sprintf(format, args...), r, want.Route, route, answer.StatusCode, body)
	}
	if route.Response != nil && answer.Header.Get("x-route") != route.Response.Set["x-route"] {
		fail("the answer's header is %q", answer.Header.Get("x-route"))
	}
	switch {
	case route.Redirect != nil:
		if answer.StatusCode != route.Redirect.Status || answer.Header.Get("location") != route.Redirect.To {
			fail("want a redirect, got one to %q", answer.Header.Get("location"))
		}
		return
	case route.Respond != nil:
		if answer.StatusCode != route.Respond.Status || body != route.Respond.Body {
			fail("want an answer of its own")
		}
		return
	case answer.StatusCode != 200:
		fail("want the application's answer")
	}
	var got heard
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		fail("%v", err)
	}
	if !slices.ContainsFunc(want.To, func(s mesh.Share) bool { return s.Version == got.Version }) {
		fail("it went to %s, want %+v", got.Version, want.To)
	}
	if got.Path != want.Received.Path || got.Method != want.Received.Method {
		fail("the application got %s %q, want %q", got.Method, got.Path, want.Received.Path)
	}
	for _, name := range []string{"x-h", "x-set", "x-both", "cookie"} {
		value, given := want.Received.Headers[name]
		if got.Header.Get(name) != value || (len(got.Header.Values(name)) > 0) != given {
			fail("the application got %s %q, want %q (%v)", name, got.Header.Values(name), value, given)
		}
	}
}

// rawClient sends requests as they are written: Go's would tidy them up.
type rawClient struct {
	address string
	conn    net.Conn
	reader  *bufio.Reader
}

func (c *rawClient) send(r mesh.Request) (*http.Response, string, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.address)
		if err != nil {
			return nil, "", err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s.mesh\r\nContent-Length: 0\r\n", r.Method, r.Path, r.Callee)
	for name, value := range r.Headers {
		fmt.Fprintf(&text, "%s: %s\r\n", name, value)
	}
	text.WriteString("\r\n")
	_ = c.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c.conn, text.String()); err != nil {
		return nil, "", err
	}
	answer, err := http.ReadResponse(c.reader, &http.Request{Method: r.Method})
	if err != nil {
		return nil, "", fmt.Errorf("%+v: %w", r, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if answer.Close {
		_ = c.conn.Close()
		c.conn = nil
	}
	return answer, string(body), err
}
