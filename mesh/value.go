package mesh

import (
	"reflect"
	"slices"
	"time"
)

// Duration is a time, in the document Go's text of it ("1m30s"). Zero is none.
type Duration time.Duration

// D is the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// Percent is 0 to 100.
type Percent float64

// Names is a set of texts: in the document sorted, each once.
type Names []string

// sorted is the set as the document has it.
func (n Names) sorted() []string {
	s := slices.Clone([]string(n))
	slices.Sort(s)
	return slices.Compact(s)
}

// Unknown holds the members of an object that this release does not know,
// written by a newer one. The zero value holds none.
type Unknown struct {
	members map[string]any // as parsed
}

// Equal says whether two hold the same.
func (u Unknown) Equal(o Unknown) bool {
	return len(u.members) == 0 && len(o.members) == 0 || reflect.DeepEqual(u.members, o.members)
}
