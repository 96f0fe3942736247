package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Severity tells errors from warnings.
type Severity int

// The severities. Any error keeps Load from giving a Fleet.
const (
	SeverityError Severity = iota
	SeverityWarning
)

func (s Severity) String() string {
	if s == SeverityWarning {
		return "warning"
	}
	return "error"
}

// Pos is a place in a file. Line and Column (in characters) count from 1, Byte from 0.
type Pos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// Diagnostic is one mistake: what, where, why, and what to write instead.
// End is exclusive. File is below the fleet's folder, "" when no file is at fault.
type Diagnostic struct {
	Code     string
	Severity Severity
	Summary  string
	Detail   string
	Hint     string
	File     string
	Block    string // the enclosing block: `service "web"`
	Start    Pos
	End      Pos

	secret  bool // the lines in the file are not to be shown
	omitted int  // further ones of its severity that were found after it and are not told
}

func (d Diagnostic) String() string {
	return fmt.Sprintf("%s:%d,%d: %s %s: %s", d.File, d.Start.Line, d.Start.Column, d.Code, d.Summary, d.Detail)
}

// Diagnostics are the mistakes of one run, sorted by place.
type Diagnostics []Diagnostic

// HasErrors says whether one is more than a warning.
func (ds Diagnostics) HasErrors() bool { return ds.Count(SeverityError) > 0 }

// Count is the number of diagnostics of a severity that were found; maxProblems of
// them are told.
func (ds Diagnostics) Count(s Severity) int {
	n := 0
	for _, d := range ds {
		if d.Severity == s {
			n += 1 + d.omitted
		}
	}
	return n
}

// Omitted is how many more were found than are told. It may be fewer than there
// are: not all is looked at when nothing more will be told.
func (ds Diagnostics) Omitted() int {
	n := 0
	for _, d := range ds {
		n += d.omitted
	}
	return n
}

// Strict is the same with every warning as an error.
func (ds Diagnostics) Strict() Diagnostics {
	strict := slices.Clone(ds)
	for i := range strict {
		strict[i].Severity = SeverityError
	}
	return strict
}

func (ds Diagnostics) sort() {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Start.Byte, b.Start.Byte), cmp.Compare(a.Code, b.Code))
	})
}

// JSON is the document nixmesh.diagnostics/1 on one line.
func (ds Diagnostics) JSON() []byte {
	type entry struct {
		Code     string `json:"code"`
		Severity string `json:"severity"`
		Summary  string `json:"summary"`
		Detail   string `json:"detail"`
		Hint     string `json:"hint"`
		File     string `json:"file"`
		Start    Pos    `json:"start"`
		End      Pos    `json:"end"`
	}
	doc := struct {
		Schema      string  `json:"schema"`
		Diagnostics []entry `json:"diagnostics"`
		Omitted     int     `json:"omitted,omitempty"`
	}{Schema: "nixmesh.diagnostics/1", Diagnostics: []entry{}, Omitted: ds.Omitted()}
	for _, d := range ds {
		doc.Diagnostics = append(doc.Diagnostics, entry{d.Code, d.Severity.String(), d.Summary, d.Detail, d.Hint, d.File, d.Start, d.End})
	}
	text, err := json.Marshal(doc)
	if err != nil { // strings and ints only: cannot happen
		panic(err)
	}
	return append(text, '\n')
}

// problem is a diagnostic in the making: the code brings summary and severity.
type problem struct {
	code   string
	rng    hcl.Range
	block  string
	detail string
	hint   string
	secret bool // a key stands there that nobody else may see
}

// sink gathers what one run finds.
type sink struct {
	found     Diagnostics
	told      [2]int                 // by severity, those that were dropped included
	last      [2]int                 // by severity, the last of found
	words     int                    // read so far, see maxWords
	melded    int64                  // so far, see maxMelding
	mentioned map[string]bool        // "var.X" and "local.X" of all expressions
	escaped   map[string][]hcl.Range // by file: templates in texts with escapes of JSON, in order
	codes     map[string]codeInfo    // made when the first is told
}

func newSink() *sink {
	return &sink{mentioned: map[string]bool{}, escaped: map[string][]hcl.Range{}}
}

// maxProblems bounds what one run tells of errors, and of warnings: whoever has
// more mends the first of them, and a large file of mistakes would have a hint for
// each.
const maxProblems = 1000

// maxHint bounds a hint that lists names, in bytes.
const maxHint = 2000

// full says that no error will be told any more, so that none need be looked for.
func (s *sink) full() bool { return s.told[SeverityError] >= maxProblems }

func (s *sink) add(p problem) { s.tell(p, s.info(p.code).severity) }

func (s *sink) warn(p problem) { s.tell(p, SeverityWarning) }

func (s *sink) info(code string) codeInfo {
	if s.codes == nil {
		s.codes = codes()
	}
	return s.codes[code]
}

func (s *sink) tell(p problem, severity Severity) {
	if s.told[severity]++; s.told[severity] > maxProblems {
		s.found[s.last[severity]].omitted++
		return
	}
	s.last[severity] = len(s.found)
	if len(p.hint) > maxHint {
		p.hint = strings.ToValidUTF8(p.hint[:maxHint], "") + " …"
	}
	s.found = append(s.found, Diagnostic{
		Code: p.code, Severity: severity, Summary: s.info(p.code).summary,
		Detail: p.detail, Hint: p.hint, Block: p.block,
		File: p.rng.Filename, Start: position(p.rng.Start), End: position(p.rng.End), secret: p.secret,
	})
}

func position(p hcl.Pos) Pos { return Pos{Line: p.Line, Column: p.Column, Byte: p.Byte} }

// at is how diagnostics name another place: nixmesh.hcl:55.
func at(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
