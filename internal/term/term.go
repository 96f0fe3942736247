// Package term is how nixmesh writes to people: tables, colour, glyphs with
// their ASCII fallback, and the question before something is changed. The rules
// are those of the command line's design: uppercase headers, two spaces between
// columns, no borders, colour for state words only, the same text without it.
// Commands and package deploy import it; it knows nothing of either.
package term

import (
	"io"
	"os"
	"strings"

	xterm "golang.org/x/term"
)

// Style is what an output can show.
type Style struct {
	Colour bool // ANSI colours, eight of them
	UTF8   bool // glyphs beyond ASCII
	TTY    bool // cursor movement
	Width  int  // columns, 0 = unknown
}

// Detect reads a stream's abilities from the stream and the environment:
// NO_COLOR, CLICOLOR_FORCE, TERM, ACCESSIBLE and the locale.
func Detect(w io.Writer, getenv func(string) string) Style {
	var s Style
	if f, ok := w.(*os.File); ok && xterm.IsTerminal(int(f.Fd())) {
		s.TTY = true
		if width, _, err := xterm.GetSize(int(f.Fd())); err == nil {
			s.Width = width
		}
	}
	dumb := getenv("TERM") == "dumb" || getenv("TERM") == ""
	s.Colour = s.TTY && !dumb && getenv("NO_COLOR") == ""
	if getenv("CLICOLOR_FORCE") != "" && getenv("CLICOLOR_FORCE") != "0" {
		s.Colour = true
	}
	s.UTF8 = s.TTY && utf8Locale(getenv)
	if dumb || getenv("ACCESSIBLE") != "" {
		s.TTY, s.UTF8 = false, false
	}
	return s
}

// IsTerminal says whether a person can answer on r.
func IsTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	return ok && xterm.IsTerminal(int(f.Fd()))
}

func utf8Locale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := getenv(name); v != "" {
			v = strings.ToLower(v)
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return false
}
