package delta

import (
	"slices"
	"strconv"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// feed is what one stream knows of one type.
type feed struct {
	typ xds.Type

	asked    bool // a request came
	wildcard bool
	names    map[string]struct{} // subscribed to by name

	// known is what Envoy has been sent, or said that it has: the version; "" where
	// it was told that there is none.
	known map[string]string

	// told is the version that was last sent on this stream, taken or not, of what goes
	// alone; "" where Envoy, asking for it on this stream, had not heard of any.
	told map[string]string

	owed    bool                 // the first answer to a wildcard, even if it is empty
	dirty   map[string]struct{}  // to be looked at
	forced  map[string]struct{}  // to be sent even if Envoy has it
	groups  [][]string           // to be sent each in a message of its own, before the rest
	waiting map[string]time.Time // dirty, but for a cluster that is not warm: until then
	gone    map[string]time.Time // to be removed, since then
	awaited map[string]time.Time // Envoy is about to subscribe to these: until then

	flights []*flight // sent, and neither acknowledged nor refused: oldest first
	acked   bool      // something was acknowledged, or known from the start
}

// flight is a message on its way.
type flight struct {
	serial  uint64 // of the stream; the nonce is its text
	sent    []sent
	removed []string
	at      time.Time
}

// sent is a resource in a message.
type sent struct {
	*xds.Resource
	before string // what Envoy had, if it had heard of it
	heard  bool
}

func newFeed(t xds.Type) *feed {
	return &feed{
		typ: t, names: map[string]struct{}{}, known: map[string]string{}, told: map[string]string{}, dirty: map[string]struct{}{}, forced: map[string]struct{}{},
		waiting: map[string]time.Time{}, gone: map[string]time.Time{}, awaited: map[string]time.Time{},
	}
}

func (f *feed) key(name string) xds.Key { return xds.Key{Type: f.typ, Name: name} }

func (f *feed) named(name string) bool {
	_, ok := f.names[name]
	return ok
}

func (f *feed) subscribed(name string) bool { return f.asked && (f.wildcard || f.named(name)) }

// mark has a resource looked at, if Envoy wants to know of it.
func (f *feed) mark(name string) bool {
	if !f.subscribed(name) {
		return false
	}
	f.dirty[name] = struct{}{}
	return true
}

// force has a resource sent whatever Envoy has.
func (f *feed) force(name string) {
	if f.mark(name) {
		f.forced[name] = struct{}{}
	}
}

// drop forgets what is of no more interest to Envoy.
func (f *feed) drop(name string) {
	for _, m := range []map[string]struct{}{f.dirty, f.forced} {
		delete(m, name)
	}
	for _, m := range []map[string]time.Time{f.waiting, f.gone, f.awaited} {
		delete(m, name)
	}
}

// blocked says that a message is on its way which another has to wait for, and
// until when at most.
func (f *feed) blocked(now time.Time, patience time.Duration) (time.Time, bool) {
	for _, fl := range slices.Backward(f.flights) {
		if until := fl.at.Add(patience); now.Before(until) {
			return until, true
		}
	}
	return time.Time{}, false
}

// land takes a message off its way. nil is one that is not known.
func (f *feed) land(nonce string) *flight {
	i := slices.IndexFunc(f.flights, func(fl *flight) bool { return strconv.FormatUint(fl.serial, 10) == nonce })
	if i < 0 {
		return nil
	}
	fl := f.flights[i]
	f.flights = slices.Delete(f.flights, i, i+1)
	return fl
}

// undo takes back what a refused message was to bring: Envoy has what it had.
func (f *feed) undo(fl *flight) {
	for _, r := range fl.sent {
		if later := f.after(fl.serial, r.Name); later != nil {
			later.before, later.heard = r.before, r.heard
			continue
		}
		if !r.heard {
			delete(f.known, r.Name)
			continue
		}
		f.known[r.Name] = r.before
	}
}

// after is a resource in the first message behind that one that has it.
func (f *feed) after(serial uint64, name string) *sent {
	for _, fl := range f.flights {
		if fl.serial < serial {
			continue
		}
		for i := range fl.sent {
			if fl.sent[i].Name == name {
				return &fl.sent[i]
			}
		}
	}
	return nil
}

// pending counts what is not yet acknowledged.
func (f *feed) pending() int {
	n := len(f.dirty) + len(f.gone)
	for _, fl := range f.flights {
		n += len(fl.sent) + len(fl.removed)
	}
	return n
}

// idle says that nothing is on its way, or about to be.
func (f *feed) idle() bool {
	return len(f.dirty)+len(f.groups)+len(f.awaited)+len(f.flights)+len(f.gone) == 0 && !f.owed
}
