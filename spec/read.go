package spec

import (
	"cmp"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// decoder turns blocks into the types of fleet.go. Its readers report a bad
// value (NM0105) and give the default instead, so that a run goes on.
type decoder struct {
	*evaluator
	written     map[string]bool // arguments that stand in the HCL: "service.web.harden"
	version     string          // of nixmesh
	hostsUnsure bool            // a host block was refused: selectors may mean it
}

// item is one value with its place: an argument's, or an entry's of a list or map.
type item struct {
	value cty.Value
	rng   hcl.Range
	a     *attr
	name  string // "env", of an entry "env.LOG"
}

// wrong reports a value that does not fit, with a correct example.
func (d *decoder) wrong(it item, detail, example string) {
	p := problem{code: "NM0105", rng: it.rng, block: it.a.title, detail: detail}
	if example = cmp.Or(it.a.example, example); example != "" {
		p.hint = "for example " + example
	}
	d.add(p)
}

// item evaluates an argument. The second result is false when it does not stand
// there, or is unusable and was reported.
func (d *decoder) item(b *block, name string) (item, bool) {
	a := b.attrs[name]
	if a == nil {
		return item{}, false
	}
	d.written[b.path+"."+name] = true
	v, ok := d.value(a)
	it := item{value: v, rng: a.expr.Range(), a: a, name: name}
	if ok && v.IsNull() {
		d.wrong(it, fmt.Sprintf("%q is null.", name), "")
		return it, false
	}
	return it, ok
}

// Written says whether an argument stands in the HCL, for example
// "service.web.harden" or "service.web.check[0].every". Others have their default.
func (l *Loaded) Written(path string) bool { return l.written[path] }

func (d *decoder) text(b *block, name, fallback string) string {
	if it, ok := d.item(b, name); ok {
		if text, ok := d.asText(it); ok {
			return text
		}
	}
	return fallback
}

func (d *decoder) asText(it item) (string, bool) {
	if it.value.IsNull() || it.value.Type() != cty.String {
		d.wrong(it, fmt.Sprintf("%q is a text, this is %s.", it.name, typeName(it.value)), fmt.Sprintf("%s = \"…\"", it.a.name))
		return "", false
	}
	text := it.value.AsString()
	if strings.ContainsRune(text, 0) {
		d.wrong(it, fmt.Sprintf("%q holds a zero byte.", it.a.name), "")
		return "", false
	}
	return text, true
}

// choice reads one of a few words.
func (d *decoder) choice(b *block, name, fallback string, words ...string) string {
	it, ok := d.item(b, name)
	if !ok {
		return fallback
	}
	text, ok := d.asText(it)
	if !ok {
		return fallback
	}
	for _, w := range words {
		if w == text {
			return text
		}
	}
	d.add(problem{code: "NM0105", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q cannot be %q.", name, text),
		hint: didYouMean(text, words, "it is one of")})
	return fallback
}

// whole reads a whole number within [from, to].
func (d *decoder) whole(b *block, name string, fallback, from, to int) int {
	if it, ok := d.item(b, name); ok {
		if n, ok := d.asWhole(it, from, to); ok {
			return n
		}
	}
	return fallback
}

func (d *decoder) asWhole(it item, from, to int) (int, bool) {
	example := fmt.Sprintf("%s = %d", it.a.name, max(from, min(to, 5)))
	if it.value.Type() != cty.Number {
		d.wrong(it, fmt.Sprintf("%q is a whole number, this is %s.", it.a.name, typeName(it.value)), example)
		return 0, false
	}
	n, exact := it.value.AsBigFloat().Int64()
	if exact != big.Exact || n < int64(from) || n > int64(to) {
		d.wrong(it, fmt.Sprintf("%q is a whole number from %d to %d.", it.a.name, from, to), example)
		return 0, false
	}
	return int(n), true
}

func (d *decoder) duration(b *block, name string, fallback, least time.Duration) time.Duration {
	it, ok := d.item(b, name)
	if !ok {
		return fallback
	}
	if it.value.Type() == cty.String {
		if v, ok := parseDuration(it.value.AsString()); ok {
			if v >= least {
				return v
			}
			d.wrong(it, fmt.Sprintf("%q is at least %s.", name, DurationText(least)), name+` = "10s"`)
			return fallback
		}
	}
	d.wrong(it, fmt.Sprintf("%q is a time: a whole number with a unit (ms, s, m, h, d).", name), name+` = "90s"`)
	return fallback
}

// size reads bytes. 0 = not given.
func (d *decoder) size(b *block, name string) int64 {
	it, ok := d.item(b, name)
	if !ok {
		return 0
	}
	if it.value.Type() == cty.String {
		if v, ok := parseSize(it.value.AsString()); ok {
			return v
		}
	}
	d.wrong(it, fmt.Sprintf("%q is a size: a whole number with a unit (KiB, MiB, GiB, TiB).", name), name+` = "512MiB"`)
	return 0
}

// percent reads "150%" or a number, above 0 and up to most.
func (d *decoder) asPercent(it item, most float64) (float64, bool) {
	v, ok := -1.0, false
	switch {
	case it.value.Type() == cty.Number:
		v, _ = it.value.AsBigFloat().Float64()
		ok = true
	case it.value.Type() == cty.String:
		v, ok = parsePercent(it.value.AsString())
	}
	if !ok || v <= 0 || v > most {
		d.wrong(it, fmt.Sprintf("%q is a percentage above 0, up to %g%%.", it.a.name, most), it.a.name+` = "10%"`)
		return 0, false
	}
	return v, true
}

// items are the entries of a list. Each has its own range where the list is
// written out.
func (d *decoder) items(b *block, name string) []item {
	it, ok := d.item(b, name)
	if !ok {
		return nil
	}
	t := it.value.Type()
	if !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
		d.wrong(it, fmt.Sprintf("%q is a list, this is %s.", name, typeName(it.value)), name+` = ["…"]`)
		return nil
	}
	literal, _ := it.a.expr.(*hclsyntax.TupleConsExpr)
	var entries []item
	for _, v := range it.value.AsValueSlice() {
		e := item{value: v, rng: it.rng, a: it.a, name: fmt.Sprintf("%s[%d]", name, len(entries))}
		if literal != nil && len(entries) < len(literal.Exprs) {
			e.rng = literal.Exprs[len(entries)].Range()
		}
		entries = append(entries, e)
	}
	return entries
}

// texts are the entries of a list of texts.
func (d *decoder) texts(b *block, name string) (texts []string, entries []item) {
	for _, it := range d.items(b, name) {
		if text, ok := d.asText(it); ok {
			texts = append(texts, text)
			entries = append(entries, it)
		}
	}
	return texts, entries
}

// members are the entries of a map, by key.
func (d *decoder) members(b *block, name string) map[string]item {
	it, ok := d.item(b, name)
	if !ok {
		return nil
	}
	if t := it.value.Type(); !t.IsObjectType() && !t.IsMapType() {
		d.wrong(it, fmt.Sprintf("%q is a map, this is %s.", name, typeName(it.value)), name+` = { NAME = "…" }`)
		return nil
	}
	ranges := keyRanges(it.a.expr)
	members := map[string]item{}
	for key, v := range it.value.AsValueMap() {
		m := item{value: v, rng: it.rng, a: it.a, name: name + "." + key}
		if r, ok := ranges[key]; ok {
			m.rng = r
		}
		members[key] = m
	}
	return members
}

// keyRanges are the places of the keys of a map that is written out.
func keyRanges(expr hclsyntax.Expression) map[string]hcl.Range {
	literal, ok := expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil
	}
	ranges := map[string]hcl.Range{}
	for _, entry := range literal.Items {
		if v, diags := entry.KeyExpr.Value(nil); !diags.HasErrors() && v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
			ranges[v.AsString()] = entry.KeyExpr.Range()
		}
	}
	return ranges
}

// part is the range of text[from:to] in the source, if the text stands there
// letter by letter, or if that piece of it is found once; else the whole value's.
func (d *decoder) part(it item, from, to int) hcl.Range {
	src := d.files[it.rng.Filename]
	text := it.value.AsString()
	start, end := it.rng.Start.Byte+1, it.rng.End.Byte-1
	if start > end || end > len(src) || from > to || to > len(text) || it.rng.Start.Line != it.rng.End.Line {
		return it.rng
	}
	written := string(src[start:end])
	if written != text {
		if from == to || strings.Count(written, text[from:to]) != 1 {
			return it.rng
		}
		from, to = strings.Index(written, text[from:to]), strings.Index(written, text[from:to])+to-from
	}
	r := it.rng
	r.Start = hcl.Pos{Line: r.Start.Line, Column: r.Start.Column + 1 + len([]rune(written[:from])), Byte: start + from}
	r.End = hcl.Pos{Line: r.Start.Line, Column: r.Start.Column + len([]rune(written[from:to])), Byte: start + to}
	return r
}

func typeName(v cty.Value) string {
	t := v.Type()
	switch {
	case v.IsNull():
		return "null"
	case t == cty.String:
		return "a text"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsTupleType(), t.IsListType(), t.IsSetType():
		return "a list"
	default:
		return "a map"
	}
}
