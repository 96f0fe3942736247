package rollback

import (
	"strings"
	"time"
	"unicode"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// Bounds of what a deployer may ask for. Every one is far beyond use; they keep
// a wrong request from overflowing a timer or filling the journal.
const (
	maxSpan    = hostfacts.Duration(24 * time.Hour)
	maxList    = 64
	maxHolder  = 200  // characters of who holds a lease, and why
	maxReason  = 1000 // characters of why a revert is asked for
	maxRecords = 1000
)

// check refuses a request to open a run that no deployer of ours would make.
func (r RootRequest) check() error {
	for name, d := range map[string]hostfacts.Duration{"confirm": r.Confirm, "settle": r.Settle, "activate_timeout": r.ActivateTimeout} {
		if d < 0 || d > maxSpan {
			return refuse(CodeUsage, "", "%s of %s: want 0 to %s", name, d.D(), maxSpan.D())
		}
	}
	if r.Release < 0 {
		return refuse(CodeUsage, "", "release number %d: want 0 or more", r.Release)
	}
	if r.ReleaseHash != "" && !hashPattern.MatchString(r.ReleaseHash) {
		return refuse(CodeUsage, "", "release hash %q: want 64 hex digits", r.ReleaseHash)
	}
	if len(r.Signatures) > maxList || len(r.Accept) > maxList {
		return refuse(CodeUsage, "", "%d signatures, %d risks accepted: at most %d of each", len(r.Signatures), len(r.Accept), maxList)
	}
	for _, a := range r.Accept {
		if !idPattern.MatchString(a) {
			return refuse(CodeUsage, "", "accepted risk %q: want 1 to 64 of a-z, 0-9 and -", a)
		}
	}
	return nil
}

// plain is text of a deployer as it may reach another person's terminal: no
// control characters, and not endless.
func plain(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > most {
		s = string(runes[:most]) + "…"
	}
	return s
}
