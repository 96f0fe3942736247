package delta

import (
	"slices"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// entry is all that is known of one resource.
type entry struct {
	want  *xds.Resource // nil: no longer wanted, and not yet gone
	good  *xds.Resource // the last that Envoy acknowledged, while this process runs
	acked string        // the version that Envoy has; its body may be unknown
}

// shelf is what Envoy is to have: what is wanted, but for what Envoy refused. It
// knows nothing of streams.
type shelf struct {
	entries map[xds.Type]map[string]*entry
	refused map[xds.Key]*refusal
	held    map[xds.Key]xds.Key  // what is kept back -> what it waits for
	kept    map[xds.Key]struct{} // not wanted, but needed by what stands in for something refused
	spared  map[xds.Key]struct{} // not wanted, nor to be taken away where Envoy has it

	// maybe is what was in a message that was refused (true), or not answered before
	// the stream ended: Envoy may have it, and say that it has another, or nothing.
	maybe map[xds.Key]bool
}

func newShelf() *shelf {
	s := &shelf{
		entries: map[xds.Type]map[string]*entry{}, refused: map[xds.Key]*refusal{},
		held: map[xds.Key]xds.Key{}, kept: map[xds.Key]struct{}{}, spared: map[xds.Key]struct{}{}, maybe: map[xds.Key]bool{},
	}
	for _, t := range xds.Types() {
		s.entries[t] = map[string]*entry{}
	}
	return s
}

func (s *shelf) entry(k xds.Key) *entry { return s.entries[k.Type][k.Name] }

// offer is what Envoy is to have under a key. Where there is nothing to give, keep
// says that it keeps what it has; otherwise it is to have nothing.
func (s *shelf) offer(k xds.Key) (r *xds.Resource, keep bool) {
	e := s.entry(k)
	_, spared := s.spared[k]
	if e == nil {
		return nil, spared
	}
	if e.want == nil {
		if _, ok := s.kept[k]; ok {
			return e.good, e.good == nil
		}
		return nil, spared
	}
	if s.back(k, e) {
		return e.good, e.good == nil
	}
	return e.want, false
}

// back says that the wanted version is kept back.
func (s *shelf) back(k xds.Key, e *entry) bool {
	if f := s.refused[k]; f != nil && f.version == e.want.Version {
		return !f.trying
	}
	_, held := s.held[k]
	return held
}

// replace makes these the wanted ones, and those the spared ones, and returns the
// keys whose offer may differ.
func (s *shelf) replace(resources []*xds.Resource, spared []xds.Key) []xds.Key {
	next := make(map[xds.Key]struct{}, len(spared))
	for _, k := range spared {
		next[k] = struct{}{}
	}
	changed := differing(next, s.spared)
	s.spared = next
	named := make(map[xds.Key]struct{}, len(resources))
	for _, r := range resources {
		named[r.Key] = struct{}{}
		if s.put(r) {
			changed = append(changed, r.Key)
		}
	}
	for t, entries := range s.entries {
		for name, e := range entries {
			k := xds.Key{Type: t, Name: name}
			if _, ok := named[k]; !ok && e.want != nil {
				e.want = nil
				delete(s.refused, k)
				changed = append(changed, k)
			}
		}
	}
	return append(changed, s.judge()...)
}

// update changes these only.
func (s *shelf) update(resources []*xds.Resource) []xds.Key {
	var changed []xds.Key
	for _, r := range resources {
		if s.put(r) {
			changed = append(changed, r.Key)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return append(changed, s.judge()...)
}

// put says whether the resource is another than the one that was wanted.
func (s *shelf) put(r *xds.Resource) bool {
	entries := s.entries[r.Type]
	if entries == nil {
		return false // not a type that Envoy is given
	}
	e := entries[r.Name]
	if e == nil {
		e = &entry{}
		entries[r.Name] = e
	}
	same := e.want != nil && e.want.Version == r.Version
	e.want = r // what it needs and is about may differ all the same
	if f := s.refused[r.Key]; f != nil && f.version != r.Version {
		delete(s.refused, r.Key)
	}
	return !same
}

// acknowledge notes that Envoy has taken a resource, and returns the keys whose
// offer may differ by that.
func (s *shelf) acknowledge(r *xds.Resource) []xds.Key {
	delete(s.maybe, r.Key)
	e := s.entry(r.Key)
	if e == nil {
		return nil
	}
	first := e.acked == ""
	e.acked, e.good = r.Version, r
	f := s.refused[r.Key]
	healed := f != nil && f.version == r.Version
	if healed {
		delete(s.refused, r.Key)
	}
	if healed || first && len(s.held) > 0 {
		return s.judge()
	}
	return nil
}

// has notes which version Envoy says it has, "" = none.
func (s *shelf) has(k xds.Key, version string) {
	e := s.entry(k)
	if e == nil {
		return
	}
	e.acked = version
	if e.want != nil && e.want.Version == version {
		e.good = e.want
	}
}

// forget drops a resource that is not wanted and that Envoy has not, or no longer.
func (s *shelf) forget(k xds.Key) {
	e := s.entry(k)
	if e == nil || e.want != nil {
		return
	}
	if _, ok := s.kept[k]; !ok {
		delete(s.entries[k.Type], k.Name)
	}
}

// names are those of the resources of a type, sorted.
func (s *shelf) names(t xds.Type) []string {
	names := make([]string, 0, len(s.entries[t]))
	for name := range s.entries[t] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
