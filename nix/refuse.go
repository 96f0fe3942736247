package nix

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
)

// RefusedError is a file that must not enter the world-readable store.
type RefusedError struct {
	File string // below the fleet's folder
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
	return "keep secrets out of files that modules name: encrypt them with age (*.age may enter), or move the file elsewhere"
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
		for _, p := range patterns {
			if at := p.re.FindIndex(text); at != nil {
				return &RefusedError{File: f, Line: bytes.Count(text[:at[0]], []byte("\n")) + 1,
					What: p.what + ", and the Nix store is world-readable"}
			}
		}
	}
	return nil
}
