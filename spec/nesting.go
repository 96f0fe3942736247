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
	if s.words > maxWords || s.melded > maxMelding {
		return false // was said of an earlier file
	}
	if s.words += countWords(src); s.words > maxWords {
		s.add(problem{code: "NM0001", rng: fileStart(name), detail: fmt.Sprintf("With this file the fleet has more than %d words and signs.", maxWords), hint: "make it smaller: tags and selectors repeat what is on many hosts"})
		return false
	}
	if odd, what, hint := oddByte(src); odd >= 0 {
		p := posOf(src, odd)
		s.add(problem{code: "NM0001", rng: hcl.Range{Filename: name, Start: p, End: p}, detail: fmt.Sprintf("Byte %d, in line %d, is %s.", odd, p.Line, what), hint: hint})
		return false
	}
	var tokens hclsyntax.Tokens // in JSON, those of each text are measured with it
	if !isJSON(name) {
		tokens, _ = hclsyntax.LexConfig(src, name, hcl.InitialPos)
	}
	if deep, is := deepest(name, src, tokens); is {
		s.add(problem{code: "NM0001", rng: deep, detail: fmt.Sprintf("Line %d is nested deeper than %d levels.", deep.Start.Line, maxNesting),
			hint: "split the expression"})
		return false
	}
	return s.meld(src, tokens, "")
}

// maxWords bounds what all files of a fleet hold, since a word of a byte or two
// takes hundreds of bytes in the parser. It is 8 MiB of usual HCL.
const maxWords = 2 << 20

// maxMelding bounds what all texts of a fleet cost the parser. It gets a text in
// pieces, one for each line and each $ or % that begins nothing, and melds them one
// by one: each time it copies the text so far, and moves the pieces that are left.
const maxMelding = 16 << 30

// meld measures the texts of a file, or of one of its templates (NM0001).
func (s *sink) meld(src []byte, tokens hclsyntax.Tokens, block string) bool {
	type text struct{ pieces, bytes int64 }
	open := []text{{}}
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			open = append(open, text{})
		case hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			open = open[:max(1, len(open)-1)]
		case hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
			top := &open[len(open)-1]
			top.pieces++
			top.bytes += int64(len(t.Bytes))
			if s.melded += 16*top.pieces + top.bytes; s.melded > maxMelding {
				s.add(problem{code: "NM0001", rng: s.inSource(src, t.Range), block: block,
					detail: fmt.Sprintf("With the text in line %d, the fleet's texts have too many lines, or signs $ and %% that begin nothing.", t.Range.Start.Line),
					hint:   `put the text into a file of its own, and read it: file("./text")`})
				return false
			}
		}
	}
	return true
}

// countWords counts words and signs, without a lexer.
func countWords(src []byte) int {
	n, inWord := 0, false
	for _, c := range src {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c >= utf8.RuneSelf
		if letter && !inWord || !letter && c != ' ' && c != '\t' && c != '\r' {
			n++
		}
		inWord = letter
	}
	return n
}

// oddByte finds what editors do not show; -1 = nothing.
func oddByte(src []byte) (at int, what, hint string) {
	if bytes.HasPrefix(src, []byte("\ufeff")) {
		return 0, "the start of a byte order mark", "save the file as UTF-8 without it"
	}
	return bytes.IndexByte(src, 0), "zero", "delete it"
}

// deepest finds what passes maxNesting.
func deepest(name string, src []byte, tokens hclsyntax.Tokens) (hcl.Range, bool) {
	if isJSON(name) {
		return deepJSON(name, src)
	}
	return tooDeep(tokens)
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

// deepJSON finds the bracket that passes maxNesting.
func deepJSON(name string, src []byte) (hcl.Range, bool) {
	level, inText := 0, false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case c == '"':
			inText = !inText
		case inText && c == '\\':
			i++
		case !inText && (c == '[' || c == '{'):
			level++
		case !inText && (c == ']' || c == '}'):
			level--
		}
		if level > maxNesting {
			p := posOf(src, i)
			return hcl.Range{Filename: name, Start: p, End: hcl.Pos{Line: p.Line, Column: p.Column + 1, Byte: i + 1}}, true
		}
	}
	return hcl.Range{}, false
}

// invalidByte is the place of the first byte that is not UTF-8.
func invalidByte(src []byte) hcl.Pos {
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n == 1 {
			return posOf(src, i)
		}
		i += n
	}
	return posOf(src, len(src))
}

// posOf is the place of a byte.
func posOf(src []byte, at int) hcl.Pos {
	line := bytes.LastIndexByte(src[:at], '\n') + 1
	return hcl.Pos{Line: 1 + bytes.Count(src[:at], []byte("\n")), Column: 1 + utf8.RuneCount(src[line:at]), Byte: at}
}
