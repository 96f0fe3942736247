package deploy

import (
	"fmt"
	"io"
	"strings"

	"github.com/nixmesh/nixmesh/internal/term"
)

// changesShown bounds the list in the text; JSON has all.
const changesShown = 40

// asidesShown bounds what is listed of the configuration that does not act yet.
const asidesShown = 10

// WriteMesh writes the plan's part on the mesh: a line for each difference, and
// what a person has to know of how it comes into force.
func WriteMesh(w io.Writer, m *MeshPlan, lab bool) {
	switch {
	case !m.On:
		text := "no mesh: `" + Typed(lab, "nixmesh ca init") + "` turns it on"
		if parts := m.Parts.String(); parts != "" {
			text += " (" + parts + ": checked, not acted on)"
		}
		fmt.Fprintln(w, text)
		return
	case m.Live == nil:
		fmt.Fprintf(w, "mesh   %s\n", m.first())
	case !m.Acts && len(m.Changes) == 0:
		if m.Parts.String() != "" {
			fmt.Fprintf(w, "mesh   no change: version %d by %s\n", m.Live.Version, m.Live.Operator)
		}
	default:
		fmt.Fprintln(w, "mesh")
		writeChanges(w, m.Changes)
	}
	if len(m.Behind) > 0 && m.during != nil {
		if kept, waits := keeps(m.during, m.next); len(kept)+len(waits) > 0 {
			fmt.Fprintf(w, "  %s behind (%s): %s until they run this\n", plural(len(m.Behind), "host"), some(m.Behind), keptText(kept, waits))
		}
	}
	m.writeAsides(w)
	m.writeNotActing(w)
}

// writeNotActing names what the configuration says and this release does not do.
func (m *MeshPlan) writeNotActing(w io.Writer) {
	for i, line := range m.NotActing {
		if i == asidesShown && len(m.NotActing) > asidesShown+1 {
			fmt.Fprintf(w, "  and %d more that do not act yet\n", len(m.NotActing)-asidesShown)
			return
		}
		fmt.Fprintf(w, "  does not act yet: %s\n", line)
	}
}

// first tells of a configuration that would be the first.
func (m *MeshPlan) first() string {
	text := m.Parts.String()
	if text == "" {
		text = "no edges"
	}
	if len(m.Silent) > 0 && len(m.Agents) == 0 {
		return fmt.Sprintf("%s; what is in force is not known: no agent answers", text)
	}
	if who := m.next.CA.Authorities; len(who) > 0 {
		text += ", authorities " + strings.Join(who, ", ") + " (can issue any identity)"
	}
	return text + ", the first configuration; agents get it when their hosts have committed"
}

// writeChanges aligns changes as a table without a head.
func writeChanges(w io.Writer, changes []MeshChange) {
	var kinds, subjects, values int
	for i, c := range changes {
		if i < changesShown {
			kinds, subjects = max(kinds, len(c.Kind)), max(subjects, min(len(c.Subject), 40))
			values = max(values, min(len(c.value()), 60))
		}
	}
	for i, c := range changes {
		if i == changesShown && len(changes) > changesShown+1 {
			fmt.Fprintf(w, "  and %d more changes (-o json lists them)\n", len(changes)-i)
			return
		}
		line := fmt.Sprintf("  %s %s  %s  %s   %s", c.Op, term.Pad(c.Kind, kinds), term.Pad(c.Subject, subjects), term.Pad(c.value(), values), c.Place)
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// value is "v1 100 -> v1 90, v2 10", or what is new or gone.
func (c MeshChange) value() string {
	if c.Op == "~" {
		return c.Before + " -> " + c.After
	}
	return c.Before + c.After
}

// writeMeshResult tells how a release's mesh configuration came to the agents.
func writeMeshResult(w io.Writer, s *Summary, style term.Style) {
	switch m := s.Mesh; {
	case m == nil:
	case m.Error != "":
		fmt.Fprintf(w, "%s version %d is not in force: %s\n", style.Bad("mesh:"), m.Version, m.Error)
	default:
		fmt.Fprintf(w, "Mesh version %d: %s.\n", m.Version, m)
	}
	if s.MeshHeld != "" {
		fmt.Fprintln(w, s.MeshHeld)
	}
}

// WriteChanges writes what a release of the mesh alone changes.
func WriteChanges(w io.Writer, m *MeshPlan) {
	if m.Live == nil {
		fmt.Fprintf(w, "  %s\n", m.first())
	}
	writeChanges(w, m.Changes)
	m.writeAsides(w)
}

// writeAsides tells whose agents do not answer, and what else was seen.
func (m *MeshPlan) writeAsides(w io.Writer) {
	for _, a := range m.Silent {
		fmt.Fprintf(w, "  %s: its agent does not answer: %s\n", a.Host, a.Error)
	}
	for _, n := range m.Notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
}

// WriteApplied writes the end of a release of the mesh alone.
func WriteApplied(w io.Writer, s *Summary, style term.Style) {
	m := s.Mesh
	if m == nil || m.Error != "" {
		writeMeshResult(w, s, style)
		return
	}
	text := m.String()
	fmt.Fprintf(w, "%s%s.\n", strings.ToUpper(text[:1]), text[1:])
	if s.MeshHeld != "" {
		fmt.Fprintln(w, s.MeshHeld)
	}
}
