package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// maxNesting bounds how deep JSON of another machine may be, as its lines are
// indented by it.
const maxNesting = 500

// printForeignJSON prints JSON whose texts another machine chose, indented, as it
// comes: what a terminal might obey is written as its number. That it is all JSON
// is not checked.
func printForeignJSON(w io.Writer, r io.Reader) error {
	p := &foreignJSON{in: bufio.NewReader(r), out: bufio.NewWriter(w)}
	err := p.copy()
	p.put("\n")
	if p.failed == nil {
		p.failed = p.out.Flush()
	}
	if p.failed != nil {
		return &exitError{code: exitFailed, err: fmt.Errorf("print JSON: %w", p.failed)}
	}
	return err
}

type foreignJSON struct {
	in     *bufio.Reader
	out    *bufio.Writer
	failed error // of out
	depth  int
	empty  bool // nothing came since a bracket was opened
}

func (p *foreignJSON) copy() error {
	for p.failed == nil {
		r, _, err := p.in.ReadRune()
		switch {
		case errors.Is(err, io.EOF) && p.depth > 0:
			return io.ErrUnexpectedEOF
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case unicode.IsSpace(r):
			continue
		}
		if err := p.token(r); err != nil {
			return err
		}
	}
	return nil
}

// token prints what stands outside of texts, and a text with its first quote.
func (p *foreignJSON) token(r rune) error {
	closes := r == '}' || r == ']'
	opens := r == '{' || r == '['
	if opens {
		defer func() { p.depth, p.empty = p.depth+1, true }()
	}
	switch {
	case opens && p.depth == maxNesting:
		return errors.New("what it answers is nested too deep to be an Envoy's")
	case closes && p.depth == 0:
		return errors.New("what it answers is no JSON")
	case closes:
		p.depth--
	}
	if p.empty != closes { // a first element, or the end after the last one
		p.line()
	}
	p.empty = false
	p.put(shown(r))
	switch r {
	case ',':
		p.line()
	case ':':
		p.put(" ")
	case '"':
		return p.text()
	}
	return nil
}

// text prints a text after its first quote.
func (p *foreignJSON) text() error {
	for escaped := false; p.failed == nil; {
		r, _, err := p.in.ReadRune()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		p.put(shown(r))
		switch {
		case escaped:
			escaped = false
		case r == '"':
			return nil
		case r == '\\':
			escaped = true
		}
	}
	return nil
}

// line begins the next line.
func (p *foreignJSON) line() { p.put("\n" + strings.Repeat("  ", p.depth)) }

func (p *foreignJSON) put(text string) {
	if p.failed == nil {
		_, p.failed = p.out.WriteString(text)
	}
}

// shown is a rune as it is printed.
func shown(r rune) string {
	switch {
	case unicode.IsPrint(r):
		return string(r)
	case r > 0xffff:
		return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
	}
	return fmt.Sprintf(`\u%04x`, r)
}
