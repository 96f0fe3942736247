package term

import (
	"errors"
	"fmt"
	"io"
	"os"

	xterm "golang.org/x/term"
)

// ErrNoTerminal is a question without anybody to answer it.
var ErrNoTerminal = errors.New("there is no terminal to ask on")

// Hidden asks for a text that is not shown while it is typed, up to the end of
// the line. r has to be a terminal.
func Hidden(r io.Reader, w io.Writer, question string) ([]byte, error) {
	f, ok := r.(*os.File)
	if !ok || !xterm.IsTerminal(int(f.Fd())) {
		return nil, ErrNoTerminal
	}
	fmt.Fprint(w, question+": ")
	text, err := xterm.ReadPassword(int(f.Fd()))
	fmt.Fprintln(w)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return text, nil
}
