package delta

import (
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// Status is how far Envoy is. It is a snapshot, and the reader's own.
type Status struct {
	Connected bool
	Node      string    // the id in Envoy's bootstrap
	Envoy     string    // its version: "1.40.0"
	Since     time.Time // of this stream

	// Settled says that nothing is on its way: everything wanted is acknowledged, but
	// for Refused and what it holds. A configuration without a fault is applied where
	// Settled and len(Refused) == 0.
	Settled bool

	// ListenersAcked says that this Envoy has acknowledged listeners: it serves.
	ListenersAcked bool

	Pending int      // resources and removals that are not acknowledged
	Warming []string // clusters that were sent, and are not acknowledged: at most 100
	Refused []Refused
	Types   map[xds.Type]Counts
}

// Counts are totals of a type since the Server was made.
type Counts struct {
	Sent, Acked, Nacked uint64 // messages
	Resources, Removals uint64 // in what was sent
	Bytes               uint64 // of resources
}

// Refused is a resource that Envoy does not take. Its last good version stays.
type Refused struct {
	Key     xds.Key
	Version string
	Text    string // of Envoy: one line, bounded, nothing of a secret
	About   xds.About
	Good    string    // version that is served in its place; "" = none
	Held    []xds.Key // what is kept back because it needs it
	Since   time.Time
	Retry   time.Time // when it is offered again; zero: when it changes
}

// warmingMost bounds how many names Status lists.
const warmingMost = 100

// Status says how far Envoy is.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{Refused: s.shelf.refusals(), Types: make(map[xds.Type]Counts, len(s.counts))}
	for t, c := range s.counts {
		out.Types[t] = *c
	}
	st := s.stream
	if st == nil || st.node == "" {
		return out
	}
	out.Connected, out.Node, out.Envoy, out.Since = true, st.node, st.envoy, st.since
	out.ListenersAcked = st.feeds[xds.Listener].acked
	out.Settled = st.settled()
	for _, f := range st.feeds {
		out.Pending += f.pending()
	}
	out.Warming = st.feeds[xds.Cluster].warming()
	return out
}

// settled says that nothing is on its way, or about to be.
func (st *stream) settled() bool {
	if !st.s.begun || !st.feeds[xds.Cluster].asked || !st.feeds[xds.Listener].asked {
		return false
	}
	for _, f := range st.feeds {
		if !f.idle() {
			return false
		}
	}
	return true
}

// warming are the clusters on their way.
func (f *feed) warming() []string {
	var names []string
	for _, fl := range f.flights {
		for _, r := range fl.sent {
			if len(names) < warmingMost {
				names = append(names, r.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// refusals are what Envoy does not take, sorted.
func (s *shelf) refusals() []Refused {
	out := make([]Refused, 0, len(s.refused))
	for k, f := range s.refused {
		e := s.entry(k)
		r := Refused{Key: k, Version: f.version, Text: f.text, About: e.want.About, Good: e.acked, Since: f.since, Retry: f.retry}
		for held, culprit := range s.held {
			if culprit == k {
				r.Held = append(r.Held, held)
			}
		}
		slices.SortFunc(r.Held, xds.Key.Compare)
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Refused) int { return a.Key.Compare(b.Key) })
	return out
}

// Changed has a value when something in Status may be different. It is for one reader.
func (s *Server) Changed() <-chan struct{} { return s.changed }

func (s *Server) notify() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Has says whether Envoy has a resource, in whatever version: as it acknowledged it,
// or said when it connected. It is not known while nobody is connected, nor before
// that Envoy has said so.
func (s *Server) Has(k xds.Key) (has, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stream
	if st == nil || !st.fresh && !st.feeds[k.Type].asked {
		return false, false
	}
	if e := s.shelf.entry(k); e != nil {
		return e.acked != "", true
	}
	return st.feeds[k.Type].known[k.Name] != "", true
}

// AckedVersion is the version of a resource that Envoy last acknowledged, or said
// that it has. "" = none.
func (s *Server) AckedVersion(k xds.Key) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.shelf.entry(k); e != nil {
		return e.acked
	}
	return ""
}
