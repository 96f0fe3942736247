package spec

import (
	"slices"
	"testing"
)

func TestProposeAuthorities(t *testing.T) {
	t.Parallel()
	hosts := func(names ...string) []*Host {
		var all []*Host
		for _, name := range names {
			all = append(all, &Host{Name: name})
		}
		return all
	}
	edge := []*Gateway{{Name: "public", On: []string{"edge1"}}}
	for name, c := range map[string]struct {
		fleet Fleet
		want  []string
	}{
		"none":                   {Fleet{}, nil},
		"one that has a gateway": {Fleet{Hosts: hosts("edge1"), Gateways: edge}, []string{"edge1"}},
		"no gateway":             {Fleet{Hosts: hosts("a", "edge1"), Gateways: edge}, []string{"a"}},
		"three at most":          {Fleet{Hosts: hosts("a", "b", "c", "d")}, []string{"a", "b", "c"}},
		"fewest services": {Fleet{Hosts: hosts("a", "b", "c", "d", "edge1"), Gateways: edge,
			Services: []*Service{{On: []string{"a", "b"}}, {On: []string{"a"}}}}, []string{"b", "c", "d"}},
	} {
		if got := ProposeAuthorities(&c.fleet); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
