package delta

import (
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// refusal is one version of a resource that Envoy does not take.
type refusal struct {
	version, text string
	since         time.Time
	tries         int
	retry         time.Time // zero: not before it changes
	trying        bool      // it is offered once more
}

// refuse notes that Envoy did not take a resource that was alone in its message.
// It returns the keys whose offer may differ.
func (s *shelf) refuse(r *xds.Resource, text string, now time.Time, t Timings) []xds.Key {
	e := s.entry(r.Key)
	if e == nil {
		return nil
	}
	if e.good != nil && e.good.Version == r.Version {
		e.good = nil // it was taken once, and is not any more: nothing to fall back to
	}
	if e.want == nil || e.want.Version != r.Version {
		return []xds.Key{r.Key} // another is wanted by now
	}
	f := s.refused[r.Key]
	if f == nil {
		f = &refusal{version: r.Version, since: now}
		s.refused[r.Key] = f
	}
	f.text, f.trying = text, false
	if passing(r.Type, text) {
		f.retry = now.Add(min(t.Retry<<min(f.tries, 16), t.RetryMost))
		f.tries++
	}
	return append(s.judge(), r.Key)
}

// passing says that a refusal may pass by itself. Envoy never tries a port again.
func passing(t xds.Type, text string) bool {
	return t == xds.Listener && (strings.Contains(text, "cannot bind") || strings.Contains(text, "duplicate address"))
}

// forgive drops all refusals: another version of Envoy may think otherwise.
func (s *shelf) forgive() []xds.Key {
	var changed []xds.Key
	for k := range s.refused {
		changed = append(changed, k)
	}
	clear(s.refused)
	return append(changed, s.judge()...)
}

// judge works out what is kept back because of what was refused, and what is kept
// for what stands in. It returns the keys for which that differs from before. It
// costs nothing while nothing is refused.
func (s *shelf) judge() []xds.Key {
	if len(s.refused)+len(s.held)+len(s.kept) == 0 {
		return nil
	}
	held, kept := map[xds.Key]xds.Key{}, map[xds.Key]struct{}{}
	for before := -1; len(held) != before; { // what is kept back keeps others back
		before = len(held)
		for t, entries := range s.entries {
			for name, e := range entries {
				k := xds.Key{Type: t, Name: name}
				if culprit, ok := s.lacks(k, e, held); ok {
					held[k] = culprit
				}
			}
		}
	}
	for k := range s.refused {
		s.keep(k, kept)
	}
	for k := range held {
		s.keep(k, kept)
	}
	changed := append(differing(held, s.held), differing(kept, s.kept)...)
	s.held, s.kept = held, kept
	return changed
}

// lacks names what a wanted resource needs and Envoy has in no version, because it
// was refused or is itself kept back.
//
// A resource that is about nobody serves many: it is not kept back for one of them.
// What Envoy has already is not either.
func (s *shelf) lacks(k xds.Key, e *entry, held map[xds.Key]xds.Key) (xds.Key, bool) {
	if e.want == nil || e.acked == e.want.Version || e.want.About == (xds.About{}) {
		return xds.Key{}, false
	}
	for _, need := range e.want.Needs {
		n := s.entry(need)
		if n == nil || n.acked != "" {
			continue
		}
		if s.refused[need] != nil {
			return need, true
		}
		if culprit, ok := held[need]; ok {
			return culprit, true
		}
	}
	return xds.Key{}, false
}

// keep walks from what stands in for a resource to what that needs.
func (s *shelf) keep(k xds.Key, kept map[xds.Key]struct{}) {
	e := s.entry(k)
	if e == nil || e.good == nil {
		return
	}
	for _, need := range e.good.Needs {
		n := s.entry(need)
		if _, done := kept[need]; done || n == nil || n.want != nil {
			continue
		}
		kept[need] = struct{}{}
		s.keep(need, kept)
	}
}

// differing are the keys of one map only.
func differing[V any](a, b map[xds.Key]V) []xds.Key {
	var keys []xds.Key
	for k := range a {
		if _, ok := b[k]; !ok {
			keys = append(keys, k)
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	return keys
}
