package term

import (
	"io"
	"strings"
)

// Table is rows under uppercase headers, two spaces apart, without borders.
// An empty cell is shown as "-". Columns are as wide as their widest cell.
type Table struct {
	Header []string // "" leaves the header of a column out
	Right  []bool   // right-aligned columns: numbers
	rows   [][]string
}

// Add appends one row.
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Lines renders the table. Trailing blanks are left out.
func (t *Table) Lines() []string {
	all := make([][]string, 0, len(t.rows)+1)
	if len(t.Header) > 0 {
		all = append(all, t.Header)
	}
	all = append(all, t.rows...)
	var widths []int
	for _, row := range all {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(cell), 1)
		}
	}
	lines := make([]string, 0, len(all))
	for n, row := range all {
		header := n == 0 && len(t.Header) > 0
		var b strings.Builder
		for i := range widths {
			cell := ""
			if i < len(row) {
				cell = row[i]
			}
			if cell == "" && !header && i < len(t.Header) && t.Header[i] != "" {
				cell = "-"
			}
			if i > 0 {
				b.WriteString("  ")
			}
			if i < len(t.Right) && t.Right[i] {
				b.WriteString(strings.Repeat(" ", max(0, widths[i]-Width(cell))) + cell)
			} else {
				b.WriteString(Pad(cell, widths[i]))
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// Write writes the table's lines to w.
func (t *Table) Write(w io.Writer) error {
	_, err := io.WriteString(w, strings.Join(t.Lines(), "\n")+"\n")
	return err
}
