package catalog

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// HLC is a time of a hybrid logical clock: the writer's clock, moved on where
// it lags behind what the writer has seen, and the writer's name, so that no two
// are equal.
type HLC struct {
	Wall    uint64 // milliseconds since 1970
	Logical uint32 // counts within one Wall
	Writer  string // operator or host
}

// Compare orders times: who comes later wins.
func (h HLC) Compare(o HLC) int {
	return cmp.Or(cmp.Compare(h.Wall, o.Wall), cmp.Compare(h.Logical, o.Logical), cmp.Compare(h.Writer, o.Writer))
}

// Time is the clock's part.
func (h HLC) Time() time.Time { return time.UnixMilli(int64(h.Wall)) }

func (h HLC) String() string {
	return fmt.Sprintf("%s+%d %s", h.Time().UTC().Format("2006-01-02T15:04:05.000Z"), h.Logical, h.Writer)
}

// After is the time of a writer that has seen h: later than it, and than now.
func (h HLC) After(now time.Time, writer string) HLC {
	next := HLC{Wall: uint64(max(now.UnixMilli(), 0)), Writer: writer}
	if next.Wall <= h.Wall {
		next.Wall, next.Logical = h.Wall, h.Logical+1
		if h.Logical == math.MaxUint32 {
			next.Wall, next.Logical = h.Wall+1, 0
		}
	}
	return next
}

const maxWriter = 64

func (h HLC) append(b []byte) []byte {
	b = binary.AppendUvarint(b, h.Wall)
	b = binary.AppendUvarint(b, uint64(h.Logical))
	return appendBytes(b, h.Writer)
}

func (r *reader) hlc() HLC {
	h := HLC{Wall: r.number("clock", maxMillis), Logical: uint32(r.number("clock", math.MaxUint32)), Writer: r.text("writer", maxWriter)}
	if r.err == nil && h.Writer == "" {
		r.fail("nobody wrote it")
	}
	return h
}
