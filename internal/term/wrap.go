package term

import "strings"

// Wrap breaks a line between words so that no part is wider than width columns,
// but for words that are wider themselves. A width of 0 is none.
func Wrap(line string, width int) []string {
	if width <= 0 || Width(line) <= width {
		return []string{line}
	}
	var parts []string
	part := ""
	for word := range strings.SplitSeq(line, " ") {
		switch {
		case part == "":
			part = word
		case Width(part)+1+Width(word) > width:
			parts = append(parts, strings.TrimRight(part, " "))
			part = word
		default:
			part += " " + word
		}
	}
	return append(parts, part)
}
