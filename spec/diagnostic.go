package spec

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

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
}

func (d Diagnostic) String() string {
	return fmt.Sprintf("%s:%d,%d: %s %s: %s", d.File, d.Start.Line, d.Start.Column, d.Code, d.Summary, d.Detail)
}

// Diagnostics are the mistakes of one run, sorted by place.
type Diagnostics []Diagnostic

// HasErrors says whether one is more than a warning.
func (ds Diagnostics) HasErrors() bool { return ds.Count(SeverityError) > 0 }

// Count is the number of diagnostics of a severity.
func (ds Diagnostics) Count(s Severity) int {
	n := 0
	for _, d := range ds {
		if d.Severity == s {
			n++
		}
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
	}{Schema: "nixmesh.diagnostics/1", Diagnostics: []entry{}}
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
}

// sink gathers what one run finds.
type sink struct {
	found Diagnostics
}

func (s *sink) add(p problem) {
	about := codes()[p.code]
	s.found = append(s.found, Diagnostic{
		Code: p.code, Severity: about.severity, Summary: about.summary,
		Detail: p.detail, Hint: p.hint, Block: p.block,
		File: p.rng.Filename, Start: position(p.rng.Start), End: position(p.rng.End),
	})
}

func (s *sink) warn(p problem) {
	s.add(p)
	s.found[len(s.found)-1].Severity = SeverityWarning
}

func position(p hcl.Pos) Pos { return Pos{Line: p.Line, Column: p.Column, Byte: p.Byte} }

// at is how diagnostics name another place: nixmesh.hcl:55.
func at(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
