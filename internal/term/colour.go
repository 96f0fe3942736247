package term

import (
	"strings"
	"unicode/utf8"
)

const reset = "\x1b[0m"

// Bold marks names.
func (s Style) Bold(t string) string { return s.paint("\x1b[1m", t) }

// Dim marks what did not change.
func (s Style) Dim(t string) string { return s.paint("\x1b[2m", t) }

// Good marks a state word that needs no attention.
func (s Style) Good(t string) string { return s.paint("\x1b[32m", t) }

// Warn marks a state word that needs some.
func (s Style) Warn(t string) string { return s.paint("\x1b[33m", t) }

// Bad marks a failure.
func (s Style) Bad(t string) string { return s.paint("\x1b[31m", t) }

func (s Style) paint(code, t string) string {
	if !s.Colour || t == "" {
		return t
	}
	return code + t + reset
}

// State colours a state word by its meaning and leaves other text alone.
func (s Style) State(t string) string {
	word, _, _ := strings.Cut(t, " ")
	switch strings.TrimRight(word, ":,") {
	case "ok", "done", "deployed", "running", "committed", "active", "healthy":
		return s.Good(t)
	case "FAIL", "failed", "degraded", "needs-operator", "unreachable", "critical", "expired", "none":
		return s.Bad(t)
	case "rolled", "reverted", "drifted", "unknown", "refused", "warn":
		return s.Warn(t)
	case "-", "not", "unchanged":
		return s.Dim(t)
	}
	return t
}

// Ellipsis is the glyph for something that goes on.
func (s Style) Ellipsis() string {
	if s.UTF8 {
		return "…"
	}
	return "..."
}

// Width is the number of columns that t takes, escape sequences left out.
func Width(t string) int {
	return utf8.RuneCountInString(Strip(t))
}

// Pad fills t with blanks up to width columns.
func Pad(t string, width int) string {
	if n := width - Width(t); n > 0 {
		return t + strings.Repeat(" ", n)
	}
	return t
}

// Strip leaves the escape sequences out.
func Strip(t string) string {
	var b strings.Builder
	escape := false
	for _, r := range t {
		switch {
		case r == '\x1b':
			escape = true
		case !escape:
			b.WriteRune(r)
		case r == 'm':
			escape = false
		}
	}
	return b.String()
}
