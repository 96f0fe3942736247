package selector

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func shop() []Host {
	return []Host{
		{Name: "edge1", Tags: []string{"edge"}},
		{Name: "app1", Tags: []string{"app"}},
		{Name: "app2", Tags: []string{"app", "canary"}},
		{Name: "db1", Tags: []string{"db"}},
		{Name: "db2", Tags: []string{"db"}},
	}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		entries []string
		want    string
	}{
		{[]string{"app1"}, "app1"},
		{[]string{"@app"}, "app1 app2"},
		{[]string{"*"}, "app1 app2 db1 db2 edge1"},
		{[]string{"edge-*,db*"}, ""},
		{[]string{"e*1,db*"}, "db1 db2 edge1"},
		{[]string{"!app2"}, "app1 db1 db2 edge1"},
		{[]string{"!@db", "@app", "@db"}, "app1 app2"},
		{[]string{"@a*", "!@canary"}, "app1"},
		{[]string{" app1 , db2 "}, "app1 db2"},
		{[]string{"app1", "!app1"}, ""},
	} {
		s, err := Parse(c.entries...)
		if err != nil {
			t.Fatalf("%q: %v", c.entries, err)
		}
		got, err := s.Select(shop())
		if (err != nil) != (c.want == "") || strings.Join(got, " ") != c.want {
			t.Errorf("%q = %v, %v, want %q", c.entries, got, err, c.want)
		}
	}
}

func TestNoMatchListsWhatExists(t *testing.T) {
	s, err := Parse("app1", "@ap")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Select(shop())
	want := `"@ap" matches no host; hosts: app1, app2, db1, db2, edge1; tags: @app, @canary, @db, @edge`
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestSyntax(t *testing.T) {
	for _, text := range []string{"", "!", "@", "!@", "a,,b", "App", "a b", "!!a"} {
		var syntax *SyntaxError
		if _, err := Parse(text); !errors.As(err, &syntax) {
			t.Errorf("%q: %v, want a SyntaxError", text, err)
		}
	}
	if _, err := Parse(); err == nil {
		t.Error("no entries: want an error")
	}
}

// A union is the sorted set of what its parts select, "!" takes out whatever
// the order, and the order of entries never matters.
func TestUnionAndMinus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"app1", "app2", "db1", "db2", "edge1"}
		yes := rapid.SliceOfN(rapid.SampledFrom(names), 1, 4).Draw(t, "yes")
		no := rapid.SliceOfN(rapid.SampledFrom(names), 0, 4).Draw(t, "no")
		entries := slices.Clone(yes)
		for _, n := range no {
			entries = append(entries, "!"+n)
		}
		entries = rapid.Permutation(entries).Draw(t, "entries")
		var want []string
		for _, n := range names {
			if slices.Contains(yes, n) && !slices.Contains(no, n) {
				want = append(want, n)
			}
		}
		s, err := Parse(entries...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Select(shop())
		if !slices.Equal(got, want) || (err != nil) != (len(want) == 0) {
			t.Fatalf("%q = %v, %v, want %v", entries, got, err, want)
		}
	})
}

// glob agrees with the plain recursive definition.
func TestGlob(t *testing.T) {
	var slow func(p, s string) bool
	slow = func(p, s string) bool {
		switch {
		case p == "":
			return s == ""
		case p[0] == '*':
			return slow(p[1:], s) || s != "" && slow(p, s[1:])
		default:
			return s != "" && p[0] == s[0] && slow(p[1:], s[1:])
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[ab*]{0,6}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "text")
		if glob(p, s) != slow(p, s) {
			t.Fatalf("glob(%q, %q) = %v", p, s, glob(p, s))
		}
	})
}
