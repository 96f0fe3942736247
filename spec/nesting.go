package spec

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxNesting bounds brackets in brackets, and operators in one expression. The
// parser and the evaluator recurse once for each, and Go cannot recover from a
// stack that overflows, so a file is lexed and measured before it is parsed.
const maxNesting = 200

// readable says whether a file may be given to the parser (NM0001).
func (s *sink) readable(name string, src []byte) bool {
	if len(src) > maxFileSize {
		s.add(problem{code: "NM0001", rng: fileStart(name), detail: "The file is larger than 4 MiB.", hint: "split the file"})
		return false
	}
	if !utf8.Valid(src) {
		p := invalidByte(src)
		s.add(problem{code: "NM0001", rng: hcl.Range{Filename: name, Start: p, End: p},
			detail: fmt.Sprintf("The file is not UTF-8: byte %d, in line %d, is 0x%02x.", p.Byte, p.Line, src[p.Byte]),
			hint:   "save the file as UTF-8"})
		return false
	}
	tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	if deep, ok := tooDeep(tokens); ok {
		s.add(problem{code: "NM0001", rng: deep, detail: fmt.Sprintf("Line %d is nested deeper than %d levels.", deep.Start.Line, maxNesting),
			hint: "split the expression"})
		return false
	}
	return true
}

// depth is one open bracket.
type depth struct {
	operators int  // seen since the last separator
	lines     bool // a newline separates here, as in blocks and objects
}

// tooDeep finds the token that passes maxNesting.
func tooDeep(tokens hclsyntax.Tokens) (hcl.Range, bool) {
	levels := []depth{{lines: true}}
	for _, t := range tokens {
		top := &levels[len(levels)-1]
		switch t.Type {
		case hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateControl:
			top.operators++ // x[0][0] and %{if} recurse as operators do
			levels = append(levels, depth{})
		case hclsyntax.TokenOBrace:
			levels = append(levels, depth{lines: true})
		case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp:
			levels = append(levels, depth{})
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc,
			hclsyntax.TokenTemplateSeqEnd:
			if len(levels) > 1 {
				levels = levels[:len(levels)-1]
			}
		case hclsyntax.TokenComma:
			top.operators = 0
		case hclsyntax.TokenNewline, hclsyntax.TokenComment:
			if top.lines {
				top.operators = 0
			}
		case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenStringLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenEqual,
			hclsyntax.TokenFatArrow:
		default:
			top.operators++
		}
		if len(levels)-1 > maxNesting || levels[len(levels)-1].operators > maxNesting || top.operators > maxNesting {
			return t.Range, true
		}
	}
	return hcl.Range{}, false
}

// invalidByte is the place of the first byte that is not UTF-8.
func invalidByte(src []byte) hcl.Pos {
	p := hcl.Pos{Line: 1, Column: 1}
	for p.Byte < len(src) {
		r, n := utf8.DecodeRune(src[p.Byte:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		p.Byte += n
		p.Column++
		if r == '\n' {
			p.Line, p.Column = p.Line+1, 1
		}
	}
	return p
}

// lineStart is the range of the text of a line that begins at byte.
func lineStart(name string, src []byte, at int) hcl.Range {
	line := 1 + bytes.Count(src[:at], []byte("\n"))
	text, _, _ := bytes.Cut(src[at:], []byte("\n"))
	return hcl.Range{Filename: name,
		Start: hcl.Pos{Line: line, Column: 1, Byte: at},
		End:   hcl.Pos{Line: line, Column: 1 + utf8.RuneCount(text), Byte: at + len(text)}}
}
