package compile

import (
	"bytes"
	"strings"

	"github.com/nixmesh/nixmesh/spec"
)

// expr is a Nix expression to be printed: raw, attrs, list, module, place or
// placed text.
type expr interface {
	print(p *printer, depth int)
}

// raw is Nix text on one line.
type raw string

// attrs is a set; bindings keep their order.
type attrs []binding

// list is a list.
type list []expr

// binding is one line of a set. A binding with a place as value is left out
// where places are.
type binding struct {
	path  string // Nix text
	value expr
}

// placeText is a place of the HCL as a string.
type placeText spec.Place

// throwing is `value or (throw "PLACE: message")`.
type throwing struct {
	value   string // Nix text of a selection
	place   spec.Place
	message string
}

// module is one definition with its place: a NixOS module.
type module struct {
	place   spec.Place
	pkgs    bool // takes pkgs as argument
	imports list
	config  attrs
}

// places says whether a print names places.
type places bool

const (
	withPlaces    places = true
	withoutPlaces places = false
)

func bind(path string, value expr) binding { return binding{path, value} }

func str(s string) expr { return raw(nixString(s)) }

func strs(ss []string) expr {
	l := make(list, 0, len(ss))
	for _, s := range ss {
		l = append(l, str(s))
	}
	return l
}

// printer writes expressions with two spaces a level.
type printer struct {
	b      bytes.Buffer
	places places
}

func (p *printer) line(depth int, s string) {
	p.b.WriteByte('\n')
	p.b.WriteString(strings.Repeat("  ", depth))
	p.b.WriteString(s)
}

func (r raw) print(p *printer, _ int) { p.b.WriteString(string(r)) }

func (t placeText) print(p *printer, _ int) { p.b.WriteString(nixString(spec.Place(t).String())) }

func (t throwing) print(p *printer, _ int) {
	message := t.message
	if p.places {
		message = t.place.String() + ": " + message
	}
	p.b.WriteString(t.value + " or (throw " + nixString(message) + ")")
}

func (a attrs) print(p *printer, depth int) {
	if len(a) == 0 {
		p.b.WriteString("{ }")
		return
	}
	p.b.WriteByte('{')
	for _, b := range a {
		if _, isPlace := b.value.(placeText); isPlace && !bool(p.places) {
			continue
		}
		p.line(depth+1, b.path+" =")
		if _, below := b.value.(outputs); !below {
			p.b.WriteByte(' ')
		}
		b.value.print(p, depth+1)
		p.b.WriteByte(';')
	}
	p.line(depth, "}")
}

// inlineWidth is the longest list, in bytes, that stays on one line.
const inlineWidth = 72

func (l list) print(p *printer, depth int) {
	if s, ok := l.inline(); ok {
		p.b.WriteString(s)
		return
	}
	p.b.WriteByte('[')
	for _, e := range l {
		p.line(depth+1, "")
		switch e := e.(type) {
		case throwing:
			p.b.WriteByte('(')
			e.print(p, depth+1)
			p.b.WriteByte(')')
		default:
			e.print(p, depth+1)
		}
	}
	p.line(depth, "]")
}

// inline is the list on one line, if it is short and holds only raw text.
func (l list) inline() (string, bool) {
	s := "["
	for _, e := range l {
		r, ok := e.(raw)
		if !ok {
			return "", false
		}
		s += " " + string(r)
	}
	return s + " ]", len(s) <= inlineWidth
}

func (m *module) print(p *printer, depth int) {
	body := attrs{bind("_file", placeText(m.place))}
	if len(m.imports) > 0 {
		body = append(body, bind("imports", m.imports))
	}
	if len(m.config) > 0 {
		body = append(body, bind("config", m.config))
	}
	if !m.pkgs {
		body.print(p, depth)
		return
	}
	p.b.WriteByte('(')
	p.line(depth+1, "{ pkgs, ... }:")
	p.line(depth+1, "")
	body.print(p, depth+1)
	p.line(depth, ")")
}
