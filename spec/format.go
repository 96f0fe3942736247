package spec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format gives a file its canonical form. A file that does not parse comes back
// as it was, with the diagnostics.
func Format(name string, src []byte) ([]byte, Diagnostics) {
	s := newSink()
	if isJSON(name) {
		return src, nil // made by a generator, in its form
	}
	if !s.readable(name, src) {
		return src, s.found
	}
	if body := s.parse(name, src, grammar()); body == nil {
		return src, s.found
	}
	text := bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n"))
	for range 4 { // moving one comment can move the next: until it rests
		next := bytes.TrimRight(hclwrite.Format(text), " \t\n")
		if len(next) > 0 {
			next = append(next, '\n')
		}
		if bytes.Equal(next, text) {
			break
		}
		text = next
	}
	if !sameMeaning(name, src, text) {
		return src, nil // never trade meaning for looks
	}
	return text, nil
}

// sameMeaning compares two texts token by token, spaces and newlines aside.
func sameMeaning(name string, a, b []byte) bool {
	strip := func(src []byte) []hclsyntax.Token {
		tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
		return slices.DeleteFunc(tokens, func(t hclsyntax.Token) bool {
			return t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenEOF
		})
	}
	return slices.EqualFunc(strip(a), strip(b), func(x, y hclsyntax.Token) bool {
		return x.Type == y.Type && bytes.Equal(bytes.TrimSpace(x.Bytes), bytes.TrimSpace(y.Bytes))
	})
}

// Formatted is a file with its text before and after.
type Formatted struct {
	Name   string // below the fleet's folder, or as it was named
	Path   string
	Before []byte
	After  []byte
}

// Changed says whether the file is not in its canonical form.
func (f Formatted) Changed() bool { return !bytes.Equal(f.Before, f.After) }

// Write replaces the file by its canonical form and keeps its mode.
func (f Formatted) Write() error {
	info, err := os.Stat(f.Path)
	if err != nil {
		return fmt.Errorf("format %s: %w", f.Name, err)
	}
	real, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return fmt.Errorf("format %s: %w", f.Name, err)
	}
	return replaceFile(real, f.After, info.Mode().Perm())
}

// FormatFleet formats every HCL file of the fleet at or above dir, lab.hcl and
// *.vars.hcl included, and writes nothing. Files that do not parse are left out
// and told in the diagnostics.
func FormatFleet(dir string) ([]Formatted, map[string][]byte, Diagnostics) {
	s := &sink{}
	root, err := FindDir(dir)
	if err != nil {
		s.add(noFleet(dir, err, "name the files, or the folder with -C DIR"))
		return nil, nil, s.found
	}
	src := &sources{sink: s, dir: root, files: map[string][]byte{}}
	src.load(true)
	var all []Formatted
	for _, name := range src.order {
		after, diags := Format(name, src.files[name])
		s.found = append(s.found, diags...)
		if len(diags) == 0 {
			all = append(all, Formatted{Name: name, Path: filepath.Join(root, filepath.FromSlash(name)), Before: src.files[name], After: after})
		}
	}
	s.found.sort()
	return all, src.files, s.found
}
