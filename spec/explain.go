package spec

import (
	"embed"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// explainPages hold one page for each code of codes.go, in the form that
// explanation reads.
//
//go:embed explain/*.txtar
var explainPages embed.FS

// Explanation tells one code: its cause, a spec that provokes it, and one that
// does not.
type Explanation struct {
	Code     string
	Severity Severity
	Summary  string    // the title of the diagnostic
	Meaning  string    // one sentence: when the code is given
	Cause    string    // paragraphs: why that is a mistake, and the way out
	Shared   []Example // files of both examples
	Bad      []Example
	Good     []Example
}

// Example is one file of an example. Name is "" where the file may be any of
// the fleet's *.hcl.
type Example struct {
	Name string `json:"file"`
	Text string `json:"text"`
}

// Codes are the codes of all diagnostics, sorted.
func Codes() []string { return slices.Sorted(maps.Keys(codes())) }

// NearestCode is the code that was probably meant, or "".
func NearestCode(word string) string { return nearest(word, Codes()) }

// Explain gives the page of a code. The second result is false if there is no
// such code.
func Explain(code string) (Explanation, bool) {
	about, known := codes()[code]
	if !known {
		return Explanation{}, false
	}
	x := Explanation{Code: code, Severity: about.severity, Summary: about.summary}
	if text, err := explainPages.ReadFile("explain/" + code + ".txtar"); err == nil {
		x.read(string(text))
	}
	return x, true
}

// read takes a page apart. Its first paragraph is the meaning, what follows is
// the cause; then come the files, each after a line "-- NAME --". bad.hcl and
// good.hcl are an example's HCL, in.hcl is that of both; bad/NAME and good/NAME are
// further files of one, and other names stand in both.
func (x *Explanation) read(text string) {
	var name string
	var body strings.Builder
	end := func() {
		switch {
		case name == "":
			meaning, cause, _ := strings.Cut(strings.TrimSpace(body.String()), "\n\n")
			x.Meaning, x.Cause = strings.ReplaceAll(meaning, "\n", " "), strings.TrimSpace(cause)
		case name == "in.hcl":
			x.Shared = append(x.Shared, Example{Text: body.String()})
		case name == "bad.hcl":
			x.Bad = append(x.Bad, Example{Text: body.String()})
		case name == "good.hcl":
			x.Good = append(x.Good, Example{Text: body.String()})
		case strings.HasPrefix(name, "bad/"):
			x.Bad = append(x.Bad, Example{strings.TrimPrefix(name, "bad/"), body.String()})
		case strings.HasPrefix(name, "good/"):
			x.Good = append(x.Good, Example{strings.TrimPrefix(name, "good/"), body.String()})
		default:
			x.Shared = append(x.Shared, Example{name, body.String()})
		}
		body.Reset()
	}
	for line := range strings.Lines(text) {
		next, begins := strings.CutPrefix(strings.TrimSpace(line), "-- ")
		next, ends := strings.CutSuffix(next, " --")
		if !begins || !ends {
			body.WriteString(line)
			continue
		}
		end()
		name = next
	}
	end()
}

// Shown is the example as a page prints it: text that only a program reads is
// left out.
func (e Example) Shown() string {
	if strings.HasSuffix(e.Name, ".age") && strings.HasPrefix(e.Text, "-----BEGIN AGE") {
		return fmt.Sprintf("(%d lines of an age file)\n", strings.Count(e.Text, "\n"))
	}
	return e.Text
}
