package xds

import (
	"cmp"
	"slices"
)

// Build computes everything. What cannot be built is left out, with what needs it,
// and named among the problems.
func Build(in *Input) *Output {
	b := &builder{in: in, built: map[Key]*Resource{}}
	b.secrets()
	b.inbound()
	b.outbound()
	b.gateways()
	return b.output()
}

// Assignments computes the endpoints of the edges of this host that depend on a
// service, and nothing else: what one change of the catalog costs.
func Assignments(in *Input, service string) *Output {
	b := &builder{in: in, built: map[Key]*Resource{}}
	b.assignmentsOf(service)
	return b.output()
}

type builder struct {
	leaves   map[string]bool // who has a certificate, of those that were asked for
	in       *Input
	built    map[Key]*Resource
	spared   []Key
	problems []Problem
	bodies   map[assigned][]byte // assignments without their names
	kept     map[string]Kept
	room     int // connections that one chain of a gateway may have, 0 = as the gateway says
}

// add keeps a resource. One that is not valid is a problem, and false.
func (b *builder) add(t Type, name string, m Message, about About, needs ...Key) bool {
	r, err := NewResource(t, name, m, about, needs...)
	if err != nil {
		b.problem(Missing, about, err.Error())
		return false
	}
	b.built[r.Key] = r
	return true
}

func (b *builder) problem(level Level, about About, text string) {
	b.problems = append(b.problems, Problem{About: about, Text: text, Level: level})
}

func (b *builder) output() *Output {
	out := &Output{Spared: b.spared, Problems: b.problems, Kept: b.kept}
	for _, r := range b.built {
		out.Resources = append(out.Resources, r)
	}
	slices.SortFunc(out.Resources, func(x, y *Resource) int { return x.Compare(y.Key) })
	slices.SortStableFunc(out.Problems, func(x, y Problem) int { return cmp.Compare(x.Text, y.Text) })
	out.Problems = slices.Compact(out.Problems) // one thing may stand in the way of several resources
	return out
}
