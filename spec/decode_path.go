package spec

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// label is a block's label as a value, for the readers of values.
func (d *decoder) label(b *block) item {
	return item{value: cty.StringVal(b.label), rng: b.name, name: b.kind, a: &attr{name: b.kind, key: b.name, title: b.title, path: b.path}}
}

// paths reads a list of rules for paths.
func (d *decoder) paths(b *block, name string) []Path {
	b.arg(name, typePaths)
	texts, entries := d.texts(b, name)
	var rules []Path
	for i := range texts {
		if rule, ok := d.pathRule(entries[i], 0); ok {
			rules = append(rules, rule)
		}
	}
	return rules
}

// pathRule reads what follows offset in a text: "/x/" and below, "/x" exactly, or
// "~RE2" (NM0406, NM0411).
func (d *decoder) pathRule(it item, offset int) (Path, bool) {
	text := it.value.AsString()[offset:]
	if pattern, isRegex := strings.CutPrefix(text, "~"); isRegex {
		re, ok := d.regex(it, offset+1)
		if !ok {
			return Path{}, false
		}
		if literal := literalPrefix(re.String()); literal != "" && literal[0] != '/' {
			d.badPath(it, offset, fmt.Sprintf("%q takes no path: the whole path has to match, and every path begins with a slash.", text), "~/"+pattern)
			return Path{}, false
		}
		return Path{Kind: "regex", Text: pattern}, true
	}
	if !d.normalPath(it, offset) {
		return Path{}, false
	}
	if strings.HasSuffix(text, "/") {
		return Path{Kind: "prefix", Text: text}, true
	}
	return Path{Kind: "exact", Text: text}, true
}

// normalPath refuses a path that no request can have, since paths are compared
// after normalisation.
func (d *decoder) normalPath(it item, offset int) bool {
	text := it.value.AsString()[offset:]
	at := strings.IndexAny(text, "?#")
	switch {
	case len(text) > maxRule:
		d.add(problem{code: "NM0411", rng: it.rng, block: it.a.title, detail: fmt.Sprintf("The path has %d bytes; %d are the most.", len(text), maxRule), hint: "end it earlier, in a slash: that takes all below"})
	case at >= 0:
		d.badPath(it, offset, fmt.Sprintf("%q goes on after the path.", text), normalised(text[:at]))
	case strings.Contains(text, "*"):
		below, _, _ := strings.Cut(text, "*")
		d.badPath(it, offset, fmt.Sprintf("%q: a star means nothing in a path; one that ends in a slash takes all below.", text), normalised(below))
	case text == "" || text[0] != '/':
		d.badPath(it, offset, fmt.Sprintf("%q is not absolute.", text), normalised(text))
	case normalised(text) != text:
		d.badPath(it, offset, fmt.Sprintf("No request has the path %q: it is compared after normalisation.", text), normalised(text))
	default:
		return true
	}
	return false
}

func (d *decoder) badPath(it item, offset int, detail, normal string) {
	p := problem{code: "NM0411", rng: it.rng, block: it.a.title, detail: detail, hint: fmt.Sprintf("the normal form is %q", normal)}
	if offset > 0 {
		p.rng = d.part(it, offset, len(it.value.AsString()))
	}
	d.add(p)
}

// normalised is the form of a path in which the mesh compares it: absolute,
// without "//", "." and "..", without "%2F" and its like, and with nothing
// encoded that need not be (RFC 3986, 6.2.2).
func normalised(text string) string {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch hex, err := strconv.ParseUint(text[min(i+1, len(text)):min(i+3, len(text))], 16, 8); {
		case c == '\\':
			plain.WriteByte('/')
		case c == '%' && (err != nil || i+2 >= len(text)):
			plain.WriteString("%25")
		case c == '%' && (hex == '/' || hex == '\\'):
			plain.WriteByte('/')
			i += 2
		case c == '%' && isUnreserved(byte(hex)):
			plain.WriteByte(byte(hex))
			i += 2
		case isUnreserved(c) || strings.IndexByte("/%!$&'()*+,;=:@", c) >= 0:
			plain.WriteByte(c)
		default:
			fmt.Fprintf(&plain, "%%%02X", c)
		}
	}
	clean := path.Clean("/" + plain.String())
	last := path.Base("/" + plain.String())
	if clean != "/" && (strings.HasSuffix(plain.String(), "/") || last == "." || last == "..") {
		clean += "/"
	}
	return clean
}

// isUnreserved holds RFC 3986, 2.3.
func isUnreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// literalPrefix is the text that everything begins with that a regular
// expression takes.
func literalPrefix(pattern string) string {
	re, ok := compiled(strings.TrimPrefix(pattern, "^"))
	if !ok {
		return ""
	}
	prefix, _ := re.LiteralPrefix()
	return prefix
}
