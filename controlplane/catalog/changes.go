package catalog

import "slices"

// Generation counts changes of what the catalog shows.
type Generation uint64

// What says what changed.
type What uint8

// What may change. The agent looks only at that: one flap costs one look.
const (
	HostChanged     What = iota + 1 // what a host says of itself, or that it is there at all
	ServiceChanged                  // a service on a host
	StandingChanged                 // whether a host counts as alive: all services on it
	OverrideChanged                 // the override with the subject Name
	OtherChanged                    // a record of a kind that this agent does not know
)

// Change names something that is different now; how, the catalog tells.
type Change struct {
	What What
	Host string
	Name string // of the service, or the override's subject
	Kind Kind   // of OtherChanged
}

// maxChanges is how many changes are remembered. Who asks less often reads
// everything, which is the right thing after so many.
const maxChanges = 8192

// changeLog remembers the latest changes, each once.
type changeLog struct {
	first   Generation // of changes[0]
	changes []Change
	latest  map[Change]Generation
}

func newChangeLog() *changeLog {
	return &changeLog{first: 1, latest: map[Change]Generation{}}
}

func (l *changeLog) now() Generation { return l.first + Generation(len(l.changes)) - 1 }

func (l *changeLog) add(c Change) {
	if len(l.changes) == 2*maxChanges {
		for i, old := range l.changes[:maxChanges] {
			if l.latest[old] == l.first+Generation(i) {
				delete(l.latest, old)
			}
		}
		l.changes = slices.Delete(l.changes, 0, maxChanges)
		l.first += maxChanges
	}
	l.changes = append(l.changes, c)
	l.latest[c] = l.now()
}

// Generation is the number of the newest change.
func (c *Catalog) Generation() Generation { return c.log.now() }

// Since is what changed after a generation, each once, oldest first. It is not
// ok when that is too long ago, or was before this agent's start: then anything
// may have changed.
func (c *Catalog) Since(g Generation) (changes []Change, ok bool) {
	l := c.log
	if g+1 < l.first || g > l.now() {
		return nil, false
	}
	for i, change := range l.changes[g+1-l.first:] {
		if l.latest[change] == g+1+Generation(i) {
			changes = append(changes, change)
		}
	}
	return changes, true
}
