package spec

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// regexError is what is wrong with a regular expression, and where in its bytes.
type regexError struct {
	from, to int
	detail   string
	hint     string
}

// maxRule bounds a regular expression and a path, in bytes: the mesh configuration
// takes no longer ones.
const maxRule = 1024

// regexHint is the way out of most mistakes in regular expressions.
const regexHint = "the syntax is RE2's: https://github.com/google/re2/wiki/Syntax"

// regex holds the part of a text that follows offset against RE2, which is what
// Envoy and Go's regexp/syntax take alike (NM0406).
func (d *decoder) regex(it item, offset int) (*regexp.Regexp, bool) {
	text := it.value.AsString()[offset:]
	if wrong := checkRegex(text); wrong != nil {
		p := problem{code: "NM0406", rng: it.rng, block: it.a.title, hint: wrong.hint,
			detail: fmt.Sprintf("At character %d of the regular expression: %s", len([]rune(text[:wrong.from]))+1, wrong.detail)}
		if wrong.from < wrong.to {
			p.rng = d.part(it, offset+wrong.from, offset+wrong.to)
		}
		d.add(p)
		return nil, false
	}
	re, err := regexp.Compile(text)
	return re, err == nil
}

func checkRegex(text string) *regexError {
	if text == "" {
		return &regexError{detail: "it is empty.", hint: `"~.*" takes anything, "*" any value that is there`}
	}
	if len(text) > maxRule {
		return &regexError{detail: fmt.Sprintf("it has %d bytes; %d are the most.", len(text), maxRule), hint: "make several rules of it"}
	}
	if wrong := beyondRE2(text); wrong != nil {
		return wrong
	}
	_, err := syntax.Parse(text, syntax.Perl)
	var bad *syntax.Error
	if !errors.As(err, &bad) {
		return nil
	}
	wrong := &regexError{detail: string(bad.Code) + ".", hint: regexHint}
	if i := strings.Index(text, bad.Expr); i >= 0 && bad.Expr != "" {
		wrong.from, wrong.to = i, i+len(bad.Expr)
	}
	switch bad.Code {
	case syntax.ErrMissingParen:
		open := openParen(text)
		wrong.from, wrong.to, wrong.detail = open, open+1, "this parenthesis does not close."
	case syntax.ErrUnexpectedParen:
		wrong.detail = "a parenthesis closes that was not opened."
	case syntax.ErrMissingRepeatArgument:
		wrong.detail, wrong.hint = fmt.Sprintf("%q repeats nothing.", bad.Expr), `".*" is any text; a "*" of the shell is ".*" here`
	case syntax.ErrInvalidRepeatOp:
		wrong.detail = fmt.Sprintf("%q repeats what is repeated already.", bad.Expr)
	case syntax.ErrInvalidRepeatSize:
		wrong.detail = fmt.Sprintf("%q is no number of repeats; they go up to 1000.", bad.Expr)
	case syntax.ErrMissingBracket:
		wrong.detail = "this bracket does not close."
	case syntax.ErrTrailingBackslash:
		wrong.detail = "a backslash ends it."
		wrong.from, wrong.to = len(text)-1, len(text)
	case syntax.ErrInvalidEscape:
		wrong.detail = fmt.Sprintf("%q is no escape.", bad.Expr)
	}
	return wrong
}

// beyondRE2 finds what other engines know and RE2 leaves out, since it could
// take exponential time.
func beyondRE2(text string) *regexError {
	class := false
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case rest[0] == '\\' && len(rest) > 1:
			if !class && rest[1] >= '1' && rest[1] <= '9' {
				return &regexError{i, i + 2, fmt.Sprintf("%s goes back to what a group found, which RE2 cannot.", rest[:2]), "write the alternatives out"}
			}
			i++
		case class:
			class = rest[0] != ']'
		case rest[0] == '[':
			class = true
			if strings.HasPrefix(rest, "[]") || strings.HasPrefix(rest, "[^]") { // a bracket that comes first is itself
				i += strings.IndexByte(rest, ']')
			}
		default:
			for _, group := range []struct{ mark, what string }{
				{"(?=", "looks ahead"}, {"(?!", "looks ahead"}, {"(?<=", "looks behind"}, {"(?<!", "looks behind"}, {"(?>", "never goes back"},
			} {
				if strings.HasPrefix(rest, group.mark) {
					return &regexError{i, i + len(group.mark), fmt.Sprintf("%s…) %s, which RE2 cannot.", group.mark, group.what),
						`for "all but", put a rule for the exception above, or use "!"`}
				}
			}
		}
	}
	return nil
}

// openParen is the innermost parenthesis that does not close.
func openParen(text string) int {
	var open []int
	class := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			open = append(open, i)
		case c == ')' && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	if len(open) == 0 {
		return 0
	}
	return open[len(open)-1]
}

// compiled is a regular expression that was checked before.
func compiled(pattern string) (*regexp.Regexp, bool) {
	re, err := regexp.Compile(pattern)
	return re, err == nil
}
