package spec

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// snippetWidth is the most characters of a source line that are shown; longer
// lines are cut around the mistake.
const snippetWidth = 120

// Render writes the diagnostics for a terminal, each between its own rule, so
// that a pasted one shows its borders. files gives the source lines.
func (ds Diagnostics) Render(w io.Writer, files map[string][]byte, color bool) {
	hidden := map[string]bool{} // lines that hold what nobody else may see
	line := func(d Diagnostic, n int) string { return fmt.Sprintf("%s:%d", d.File, n) }
	for _, d := range ds {
		for n := d.Start.Line; d.secret && n <= d.End.Line; n++ {
			hidden[line(d, n)] = true
		}
	}
	for _, d := range ds {
		d.render(w, files[d.File], color, !hidden[line(d, d.Start.Line)])
	}
	if n := ds.Omitted(); n > 0 {
		fmt.Fprintf(w, "These are %d of at least %d problems: mend them, and the others are told.\n", len(ds), len(ds)+n)
	}
}

func (d Diagnostic) render(w io.Writer, src []byte, color, shown bool) {
	title, paint, plain := "Error", "", ""
	if d.Severity == SeverityWarning {
		title = "Warning"
	}
	if color {
		paint, plain = "\x1b[31m", "\x1b[0m"
		if d.Severity == SeverityWarning {
			paint = "\x1b[33m"
		}
	}
	fmt.Fprintf(w, "╷\n│ %s%s%s: %s  %s\n│\n", paint, title, plain, d.Summary, d.Code)
	if d.File != "" {
		fmt.Fprintf(w, "│   %s:%d", printable(d.File), d.Start.Line)
		if d.Block != "" {
			fmt.Fprintf(w, ", in %s", printable(d.Block))
		}
		fmt.Fprintln(w)
		if line, ok := sourceLine(src, d.Start); ok && shown {
			d.renderSnippet(w, line, paint, plain)
		}
	}
	if d.Detail != "" {
		fmt.Fprintf(w, "│ %s\n", indent(d.Detail))
	}
	if d.Hint != "" {
		fmt.Fprintf(w, "│\n│ hint: %s\n", indent(d.Hint))
	}
	fmt.Fprint(w, "╵\n")
}

// renderSnippet writes the source line, and carets under the range (to the end
// of the line when the range goes on below, or when only the line is known).
func (d Diagnostic) renderSnippet(w io.Writer, line string, paint, plain string) {
	runes := []rune(printable(line))
	from := min(d.Start.Column-1, len(runes))
	to := len(runes)
	switch {
	case d.Start == d.End && d.Start.Column == 1:
		from = len(runes) - len([]rune(strings.TrimLeft(string(runes), " ")))
	case d.End.Line == d.Start.Line:
		to = min(d.End.Column-1, len(runes))
	}
	if from > snippetWidth*2/3 || len(runes) > snippetWidth {
		cut := max(0, min(from-snippetWidth/3, len(runes)))
		runes = runes[cut:]
		from, to = from-cut, to-cut
		runes = runes[:min(len(runes), snippetWidth)]
		to = min(to, len(runes))
	}
	number := fmt.Sprintf("%d: ", d.Start.Line)
	fmt.Fprintf(w, "│   %s%s\n", number, strings.TrimRight(string(runes), " "))
	pad := strings.Repeat(" ", len(number)+from)
	fmt.Fprintf(w, "│   %s%s%s%s\n", pad, paint, strings.Repeat("^", max(1, to-from)), plain)
}

// sourceLine is the text of the line that holds p. Places that are known by their
// line alone have no byte, so lines are counted.
func sourceLine(src []byte, p Pos) (string, bool) {
	if p.Line < 1 || len(src) == 0 {
		return "", false
	}
	rest := src
	for range p.Line - 1 {
		_, after, more := bytes.Cut(rest, []byte("\n"))
		if !more {
			return "", false
		}
		rest = after
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strings.TrimSuffix(string(line), "\r"), true
}

// printable keeps the bytes of a file from steering the terminal: every tab is
// one space wide, as columns count it, and control characters are shown as "?".
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return '?'
		default:
			return r
		}
	}, text)
}

func indent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n│ ")
}
