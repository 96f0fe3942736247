package spec

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// written makes a route from a path as the HCL writes it and a number of predicates.
func written(path string, predicates int) Route {
	r := Route{Path: Path{"exact", path}}
	if pattern, is := strings.CutPrefix(path, "~"); is {
		r.Path = Path{"regex", pattern}
	} else if strings.HasSuffix(path, "/") {
		r.Path.Kind = "prefix"
	}
	for range predicates {
		r.Headers = append(r.Headers, Match{Name: "x", Kind: "present"})
	}
	return r
}

// "Order of routes": exact path, longer prefix, regex; then more predicates; then
// place in the file, which To stands for here.
func TestOrderedRoutes(t *testing.T) {
	for _, c := range []struct {
		name   string
		routes []Route
		want   string
	}{
		{"kinds", []Route{written("/", 0), written("~/a.*", 0), written("/a", 0)}, "2 0 1"},
		{"longer prefixes first", []Route{written("/", 0), written("/a/b/", 0), written("/a/", 0)}, "1 2 0"},
		{"a path counts for more than predicates", []Route{written("/a/", 5), written("/a/b/", 0), written("/a/b", 0)}, "2 1 0"},
		{"more predicates first", []Route{written("/a/", 0), written("/a/", 2), written("/a/", 1)}, "1 2 0"},
		{"then the file", []Route{written("/a/", 1), written("/a/", 1), written("/a/", 0)}, "0 1 2"},
		{"regular expressions as in the file, whatever their length", []Route{written("~/b", 0), written("~/a.*", 0), written("~/[ab]", 1)}, "2 0 1"},
		{"paths that exclude each other by their text", []Route{written("/b", 0), written("/a", 0), written("/d/", 0), written("/c/", 0)}, "1 0 3 2"},
	} {
		s := &Service{}
		for i := range c.routes {
			c.routes[i].To = fmt.Sprint(i)
			s.Routes = append(s.Routes, &c.routes[i])
		}
		var got []string
		for _, r := range s.OrderedRoutes() {
			got = append(got, r.To)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
	r := Route{From: []string{"a", "b"}, Methods: []string{"GET", "HEAD"}, Headers: make([]Match, 2), Query: make([]Match, 1)}
	if n := r.predicates(); n != 5 {
		t.Errorf("%d predicates, want 5", n)
	}
}

func TestOrderedGatewayRoutes(t *testing.T) {
	g := &Gateway{Routes: []*GatewayRoute{
		{Host: "*.example", Route: written("/a", 0)}, {Host: "*.shop.example", Route: written("/", 0)},
		{Host: "shop.example", Route: written("/", 0)}, {Host: "a.example", Route: written("/", 0)}, {Host: "shop.example", Route: written("/api/", 0)},
	}}
	var got []string
	for _, r := range g.OrderedRoutes() {
		got = append(got, r.Host+r.Path.Text)
	}
	want := []string{"a.example/", "shop.example/api/", "shop.example/", "*.shop.example/", "*.example/a"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestHiddenRoutes(t *testing.T) {
	routes := []*Route{
		{Path: Path{"regex", "/r.*"}}, {Path: Path{"prefix", "/"}}, {Path: Path{"prefix", "/"}, Methods: []string{"GET"}},
		{Path: Path{"prefix", "/long/"}}, {Path: Path{"exact", "/x"}}, {Path: Path{"exact", "/y"}},
	}
	if hidden := hiddenRoutes(routes); !slices.Equal(hidden, []int{1, -1, -1, -1, -1, -1}) {
		t.Errorf("hidden: %v", hidden)
	}
}
