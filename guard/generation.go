package guard

import (
	"strings"
	"unicode"

	"golang.org/x/sys/unix"
)

// generation is what one transaction did to our table: the kernel tells change
// by change, and then that this was a new generation, and whose.
type generation struct {
	touched bool
	hash    string // of the table that it made anew, "" = none, or it is changed since
	by      string // the program, "" = not told
}

// add takes the next message. The last one of the transaction ends it.
func (g *generation) add(m message) (ended bool) {
	switch {
	case m.kind == unix.NFT_MSG_NEWGEN:
		g.by = printable(m.attrs.text(attrGenerationProcess))
		return true
	case !m.of(tableName):
	case m.kind == unix.NFT_MSG_NEWTABLE:
		g.touched, g.hash = true, m.hash()
	case m.kind == unix.NFT_MSG_DELTABLE:
		g.touched, g.hash = true, ""
	default:
		g.touched = true
	}
	return false
}

// printable is the name of a program without what a program may put there to be
// taken for something else; the kernel gives 15 bytes.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name[:min(len(name), 15)])
}
