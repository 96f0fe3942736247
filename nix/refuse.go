package nix

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// RefusedError is a file, or a text of the spec, that must not enter the
// world-readable store.
type RefusedError struct {
	File string // below the fleet's folder; of a text: its place in the spec
	Line int    // from 1, 0 = the file itself
	What string
}

func (e *RefusedError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What)
	}
	return fmt.Sprintf("%s: %s", e.File, e.What)
}

// Code is the diagnostic's stable code.
func (e *RefusedError) Code() string { return "NM0006" }

// Next is what to do now.
func (e *RefusedError) Next() string {
	return "keep secrets out of modules, and of files that they name: encrypt them with age (*.age may enter; a service reads them by its secrets), or move them elsewhere"
}

// secretPattern is text that only a secret holds.
type secretPattern struct {
	what string
	re   *regexp.Regexp
}

func secretPatterns() []secretPattern {
	return []secretPattern{
		{"it holds a private key", regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----|PuTTY-User-Key-File-\d`)},
		{"it holds an age identity", regexp.MustCompile(`AGE-SECRET-KEY-(PQ-)?1[0-9A-Z]{20}|AGE-PLUGIN-[A-Z0-9+._-]+-1[0-9A-Z]{10}`)},
		{"it is a secret key of nix", regexp.MustCompile(`^\s*[A-Za-z0-9._-]+:[A-Za-z0-9+/]{86}==\s*$`)},
	}
}

// refuseSecrets looks into each file of a tree. Ciphertext may enter.
func (t tree) refuseSecrets() error {
	patterns := secretPatterns()
	for _, f := range slices.Sorted(maps.Keys(t)) {
		text, err := os.ReadFile(t[f])
		if err != nil {
			return fmt.Errorf("check %s for secrets: %w", f, err)
		}
		if at, what := findSecret(patterns, text); what != "" {
			return &RefusedError{File: f, Line: bytes.Count(text[:at], []byte("\n")) + 1, What: what}
		}
	}
	return nil
}

// findSecret says where a text holds a secret, and which, "" = none.
func findSecret(patterns []secretPattern, text []byte) (at int, what string) {
	for _, p := range patterns {
		if at := p.re.FindIndex(text); at != nil {
			return at[0], p.what + ", and the Nix store is world-readable"
		}
	}
	return 0, ""
}

// refuseSecretTexts looks into each string of a host's module: what the spec
// says in so many words, or takes from a file by file(). Where that stands in
// the spec says the nearest place before it.
func refuseSecretTexts(module []byte) error {
	place := "its module"
	patterns, written := secretPatterns(), strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\t`, "\t", `\\`, `\`, `\"`, `"`, `\$`, `$`)
	for _, m := range regexp.MustCompile(`(_file = |place = )?"((?:[^"\\]|\\.)*)"`).FindAllSubmatch(module, -1) {
		text := written.Replace(string(m[2]))
		if len(m[1]) > 0 {
			place = text
		}
		if _, what := findSecret(patterns, []byte(text)); what != "" {
			return &RefusedError{File: place, What: what}
		}
	}
	return nil
}
