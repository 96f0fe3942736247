package spec

import (
	_ "embed" // the hand-written half of the page
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// languagePage is what a table cannot tell: how values are written, and what
// they mean together.
//
//go:embed language.md
var languagePage string

// LanguageReference is docs/reference/language.md: the hand-written half, then
// every block of the grammar.
func LanguageReference() string {
	var b strings.Builder
	b.WriteString(languagePage)
	b.WriteString("\n## Blocks\n\nA default stands as it would be written. Words in *italics* say what holds where an argument is left out.\n")
	for _, s := range grammar().inner {
		describeBlock(&b, s, nil)
	}
	describeBlock(&b, labSchema().shallow(), nil)
	return b.String()
}

// shallow is the block without what its inner blocks hold.
func (s *blockSchema) shallow() *blockSchema {
	o := *s
	o.inner, o.blocks = nil, nil
	return &o
}

// describeBlock writes a block and those in it; path are the kinds around it.
func describeBlock(b *strings.Builder, s *blockSchema, path []string) {
	path = append(slices.Clone(path), s.kind)
	title := "`" + strings.TrimSpace(s.kind+" "+s.label) + "`"
	if len(path) > 1 {
		title += " in `" + strings.Join(path[:len(path)-1], " › ") + "`"
	}
	fmt.Fprintf(b, "\n%s %s\n\n%s", strings.Repeat("#", min(len(path)+2, 6)), title, s.doc)
	if s.many && len(path) > 1 {
		b.WriteString(" May be repeated.")
	}
	b.WriteString("\n")
	if len(s.list) > 0 {
		b.WriteString("\n| argument | type | default | meaning | example |\n|---|---|---|---|---|\n")
	}
	for _, a := range s.list {
		_, example, _ := strings.Cut(a.example, " = ")
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | `%s` |\n", a.name, cell(describeType(a)), cell(describeDefault(a)), cell(a.doc+boundsText(a)), cell(example))
	}
	if len(s.inner) > 0 {
		kinds := make([]string, len(s.inner))
		for i, in := range s.inner {
			kinds[i] = "`" + in.kind + "`"
		}
		fmt.Fprintf(b, "\nBlocks in it: %s.\n", strings.Join(kinds, ", "))
	}
	for _, in := range s.inner {
		describeBlock(b, in, path)
	}
}

// cell keeps a text in its cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", `\|`), "\n", " ")
}

func describeType(a argSchema) string {
	if a.typ != typeChoice {
		return "`" + string(a.typ) + "`"
	}
	words := make([]string, len(a.words))
	for i, w := range a.words {
		words[i] = "`" + strconv.Quote(w) + "`"
	}
	return strings.Join(words, ", ")
}

func describeDefault(a argSchema) string {
	switch {
	case a.required:
		return "required"
	case a.absent != "" && a.fallback != "" && a.fallback != "[]":
		return "`" + a.fallback + "`; *" + a.absent + "*"
	case a.absent != "":
		return "*" + a.absent + "*"
	case a.fallback != "":
		return "`" + a.fallback + "`"
	default:
		return "*unset*"
	}
}

// boundsText tells the least and the most of a number, where they are worth words.
func boundsText(a argSchema) string {
	const many = 1<<31 - 1
	number := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
	if a.typ == typeDuration {
		switch {
		case a.least == 0:
			return ""
		case a.most > 0:
			return " From " + durationBound(a.least) + " to " + durationBound(a.most) + "."
		}
		return " At least " + durationBound(a.least) + "."
	}
	switch {
	case a.typ == typeSize && a.most > 0:
		return fmt.Sprintf(" At most `\"%dKiB\"`.", int64(a.most)>>10)
	case a.least == 0 && (a.most == 0 || a.most >= many):
		return ""
	case a.typ == typePercent && a.most > 1e5:
		return " Above 0."
	case a.most >= many:
		return " At least " + number(a.least) + "."
	default:
		return " From " + number(a.least) + " to " + number(a.most) + "."
	}
}

// durationBound is a bound in seconds as the HCL writes it.
func durationBound(seconds float64) string { return "`\"" + DurationText(inSeconds(seconds)) + "\"`" }

// DiagnosticsReference is docs/reference/diagnostics.md: a table of all codes,
// then the page of each.
func DiagnosticsReference() string {
	var b strings.Builder
	b.WriteString(`# Diagnostics

Generated from the pages of ` + "`nixmesh explain`: `go test ./spec -run TestReferencePages -update`" + `.

Every mistake in a fleet has a code, a place and a hint, and one run tells all of
them. A code keeps its meaning for ever. An error ends the command with exit code 3
(NM0008: 6); a warning does so with ` + "`validate --strict`" + ` only.

` + "`-o json`" + ` is the document ` + "`nixmesh.diagnostics/1`" + `. Lines and columns count from 1 (0 where no
file is at fault), bytes from 0. A run tells up to 1000 errors and as many warnings;
` + "`omitted`" + ` is how many more it found, and is left out where there are none.

| code | severity | meaning |
|---|---|---|
`)
	for _, code := range Codes() {
		x, _ := Explain(code)
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %s |\n", code, strings.ToLower(code), x.Severity, cell(x.Meaning))
	}
	for _, code := range Codes() {
		x, _ := Explain(code)
		fmt.Fprintf(&b, "\n## %s\n\n**%s** (%s). %s\n\n%s\n", code, x.Summary, x.Severity, x.Meaning, x.Cause)
		describeExamples(&b, "In both", x.Shared)
		describeExamples(&b, "Wrong", x.Bad)
		describeExamples(&b, "Right", x.Good)
	}
	return b.String()
}

func describeExamples(b *strings.Builder, title string, files []Example) {
	for _, f := range files {
		name, language := "", "hcl"
		if f.Name != "" {
			name = ", `" + f.Name + "`"
		}
		if f.Name != "" && !strings.HasSuffix(f.Name, ".hcl") {
			language = ""
		}
		fmt.Fprintf(b, "\n%s%s:\n\n```%s\n%s```\n", title, name, language, f.Shown())
	}
}
