package deploy

import (
	"fmt"
	"io"

	"github.com/nixmesh/nixmesh/internal/term"
)

// WriteSummary writes the end of an operation: what, the state of every host
// now, and the next commands, the most important last.
func WriteSummary(w io.Writer, s *Summary, style term.Style) {
	fmt.Fprintln(w, s.Title)
	if !s.quiet() {
		fmt.Fprintln(w)
		t := term.Table{Header: []string{"HOST", "WAS", "RUNS NOW", "RESULT"}}
		for _, h := range s.Hosts {
			t.Add(style.Bold(h.Host), system(h.WasGen, h.WasRelease), now(h), result(h, style))
		}
		// A failing Write of stdout is noticed by the command's own last line.
		_ = t.Write(w)
	}
	writeMeshResult(w, s, style)
	for _, n := range s.Notes {
		fmt.Fprintln(w, n)
	}
	if len(s.Next) == 0 {
		return
	}
	fmt.Fprintln(w, "\nNext:")
	width := 0
	for _, n := range s.Next {
		width = max(width, len(n.Command))
	}
	for _, n := range s.Next {
		if n.Why == "" {
			fmt.Fprintf(w, "  %s\n", n.Command)
		} else {
			fmt.Fprintf(w, "  %s   %s\n", term.Pad(n.Command, width), n.Why)
		}
	}
}

// quiet says whether all went well, so that one line says it all.
func (s *Summary) quiet() bool {
	return s.Exit == ExitDone && s.count(EndDeployed, EndUnchanged) == len(s.Hosts)
}

func system(gen, release int) string {
	if gen == 0 && release == 0 {
		return "-"
	}
	text := fmt.Sprintf("gen %d", gen)
	if release > 0 {
		text += fmt.Sprintf("  r%d", release)
	}
	return text
}

func now(h HostResult) string {
	switch h.End {
	case EndNoAnswer, EndUnreachable:
		return "unknown"
	}
	return system(h.Gen, h.Release)
}

func result(h HostResult, style term.Style) string {
	text := style.State(string(h.End))
	if h.Reason != "" {
		text += ": " + h.Reason
	}
	if h.Envoy != nil && h.Envoy.Error != "" {
		text += "; " + style.Bad("its Envoy was not renewed") + ": " + h.Envoy.Error
	}
	return text
}
