package spec

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strconv"
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
	noAgeFiles  bool            // age files are not looked at
}

// item is one value with its place: an argument's, or an entry's of a list or map.
type item struct {
	value cty.Value
	rng   hcl.Range // of a map's entry: its key
	of    hcl.Range // of a map's entry: its value
	a     *attr
	name  string // "env", of an entry "env.LOG"
}

// atValue is an entry of a map with the place of its value.
func (it item) atValue() item {
	it.rng = it.of
	return it
}

// place is the line of the value.
func (it item) place() Place {
	p := it.a.place()
	p.Line = it.rng.Start.Line
	return p
}

// wrong reports a value that does not fit, with a correct example.
func (d *decoder) wrong(it item, detail, example string) {
	hint := ""
	if example = cmp.Or(it.a.schema.example, example); example != "" {
		hint = "for example " + example
	}
	d.wrongWith(it, detail, hint)
}

// wrongWith is wrong with a hint of its own.
func (d *decoder) wrongWith(it item, detail, hint string) {
	it.a.bad = it.a.bad || it.name == it.a.name
	d.add(problem{code: "NM0105", rng: it.rng, block: it.a.title, detail: detail, hint: hint})
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
		if !a.bad { // an argument may be read twice
			d.wrong(it, fmt.Sprintf("%q is null.", name), "")
		}
		return it, false
	}
	return it, ok
}

// unsure says whether an argument was meant and its value is not known, since it
// was refused: then nothing follows from the default that stands in for it.
func (d *decoder) unsure(b *block, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool {
		a := b.attrs[name]
		if b.refused[name] || a == nil {
			return b.refused[name]
		}
		_, ok := d.value(a)
		return !ok || a.bad
	})
}

// Written says whether an argument stands in the HCL, for example
// "service.web.harden" or "service.web.check[0].every". Others have their default.
func (l *Loaded) Written(path string) bool { return l.written[path] }

// arg is what the grammar says of an argument. A decoder that asks for one that
// the table lacks, or has with another type, is wrong: no sample would decode.
func (b *block) arg(name string, types ...argType) argSchema {
	a, known := b.schema.args[name]
	if !known || !slices.Contains(types, a.typ) {
		panic(fmt.Sprintf("the grammar has no %s.%s of type %v", b.kind, name, types))
	}
	return a
}

// text reads a text; its default is the grammar's.
func (d *decoder) text(b *block, name string) string {
	fallback, _ := strconv.Unquote(b.arg(name, typeText, typeFile, typeWords).fallback)
	if it, ok := d.item(b, name); ok {
		if text, ok := d.asText(it); ok {
			return text
		}
	}
	return fallback
}

// target reads a text that names something, so that an empty one is none.
func (d *decoder) target(b *block, name string) string {
	text := d.text(b, name)
	if b.has(name) && text == "" && !d.unsure(b, name) {
		it, _ := d.item(b, name)
		d.wrong(it, fmt.Sprintf("%q names nothing.", name), "")
	}
	return text
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

// choice reads one of the grammar's words.
func (d *decoder) choice(b *block, name string) string {
	fallback, _ := strconv.Unquote(b.arg(name, typeChoice).fallback)
	return d.choiceOr(b, name, fallback)
}

// choiceOr is choice with a default that depends on something else.
func (d *decoder) choiceOr(b *block, name, fallback string) string {
	words := b.arg(name, typeChoice).words
	it, ok := d.item(b, name)
	if !ok {
		return fallback
	}
	text, ok := d.asText(it)
	if !ok {
		return fallback
	}
	if slices.Contains(words, text) {
		return text
	}
	it.a.bad = true
	d.add(problem{code: "NM0105", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q cannot be %q.", name, text),
		hint: didYouMean(text, words, "it is one of")})
	return fallback
}

// boolean reads true or false.
func (d *decoder) boolean(b *block, name string) bool {
	fallback := b.arg(name, typeBool).fallback == "true"
	it, ok := d.item(b, name)
	if !ok {
		return fallback
	}
	if it.value.Type() != cty.Bool {
		d.wrong(it, fmt.Sprintf("%q is true or false, this is %s.", name, typeName(it.value)), name+" = true")
		return fallback
	}
	return it.value.True()
}

// whole reads a whole number within the grammar's bounds; 0 when it is unset.
func (d *decoder) whole(b *block, name string) int {
	a := b.arg(name, typeInt)
	if it, ok := d.item(b, name); ok {
		if n, ok := d.asWhole(it, int(a.least), int(a.most)); ok {
			return n
		}
	}
	n, _ := strconv.Atoi(a.fallback)
	return n
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

// duration reads a time; its default and bounds are the grammar's, 0 when unset.
func (d *decoder) duration(b *block, name string) time.Duration {
	a := b.arg(name, typeDuration)
	if v := d.optionalDuration(b, name); v != nil {
		return *v
	}
	text, _ := strconv.Unquote(a.fallback)
	v, _ := parseDuration(text)
	return v
}

// optionalDuration is nil where the time is not given, or wrong.
func (d *decoder) optionalDuration(b *block, name string) *time.Duration {
	a := b.arg(name, typeDuration)
	it, ok := d.item(b, name)
	if !ok {
		return nil
	}
	least, most := inSeconds(a.least), inSeconds(a.most)
	if it.value.Type() == cty.String {
		if v, ok := parseDuration(it.value.AsString()); ok {
			switch {
			case v < least:
				d.wrong(it, fmt.Sprintf("%q is at least %s.", name, DurationText(least)), name+` = "10s"`)
			case most > 0 && v > most:
				d.wrong(it, fmt.Sprintf("%q is at most %s.", name, DurationText(most)), fmt.Sprintf("%s = %q", name, DurationText(most)))
			default:
				return &v
			}
			return nil
		}
	}
	if it.value.Type() == cty.String {
		if v, err := time.ParseDuration(it.value.AsString()); err == nil && v >= time.Millisecond && v%time.Millisecond == 0 { // "1m30s"
			it.a.bad = true
			d.add(problem{code: "NM0105", rng: it.rng, block: b.title, detail: fmt.Sprintf("%q is a time: one whole number with one unit.", name), hint: fmt.Sprintf("write %s = %q", name, DurationText(v))})
			return nil
		}
	}
	d.wrong(it, fmt.Sprintf("%q is a time: a whole number with a unit (ms, s, m, h, d).", name), name+` = "90s"`)
	return nil
}

// inSeconds is a bound of the grammar.
func inSeconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

// size reads bytes; its default and most are the grammar's, 0 when unset.
func (d *decoder) size(b *block, name string) int64 {
	a := b.arg(name, typeSize)
	text, _ := strconv.Unquote(a.fallback)
	fallback, _ := parseSize(text)
	it, ok := d.item(b, name)
	if !ok {
		return fallback
	}
	if it.value.Type() == cty.String {
		if v, ok := parseSize(it.value.AsString()); ok {
			if a.most == 0 || v <= int64(a.most) {
				return v
			}
			d.wrong(it, fmt.Sprintf("%q is at most %dKiB.", name, int64(a.most)>>10), fmt.Sprintf("%s = \"%dKiB\"", name, int64(a.most)>>10))
			return fallback
		}
	}
	d.wrong(it, fmt.Sprintf("%q is a size: a whole number with a unit (KiB, MiB, GiB, TiB).", name), name+` = "512MiB"`)
	return fallback
}

// percent reads "1%" or a number within the grammar's bounds; 0 when it is unset.
func (d *decoder) percent(b *block, name string) float64 {
	a := b.arg(name, typePercent)
	if it, ok := d.item(b, name); ok {
		if v, ok := d.asPercent(it, a.least, a.most); ok {
			return v
		}
	}
	v, _ := strconv.ParseFloat(a.fallback, 64)
	return v
}

func (d *decoder) asPercent(it item, least, most float64) (float64, bool) {
	v, ok := percentOf(it.value)
	if !ok || v < least || v > most {
		from := "from 0"
		if least > 0 {
			from = "above 0"
		}
		d.wrong(it, fmt.Sprintf("%q is a percentage %s, up to %g%%.", it.name, from, most), it.a.name+` = "10%"`)
		return 0, false
	}
	return v, true
}

// percentOf is a number, or a text like "1%".
func percentOf(v cty.Value) (float64, bool) {
	switch {
	case v.IsNull():
		return 0, false
	case v.Type() == cty.Number:
		percent, _ := v.AsBigFloat().Float64()
		return percent, true
	case v.Type() == cty.String:
		return parsePercent(v.AsString())
	default:
		return 0, false
	}
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
	places := entryPlaces(it.a.expr)
	members := map[string]item{}
	for key, v := range it.value.AsValueMap() {
		m := item{value: v, rng: it.rng, of: it.rng, a: it.a, name: name + "." + key}
		if p, ok := places[key]; ok {
			m.rng, m.of = p.key, p.value
		}
		members[key] = m
	}
	return members
}

// entryPlace is where the key and the value of a map's entry stand.
type entryPlace struct{ key, value hcl.Range }

// entryPlaces are the places of the entries of a map that is written out.
func entryPlaces(expr hcl.Expression) map[string]entryPlace {
	literal, ok := expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return nil
	}
	places := map[string]entryPlace{}
	for _, entry := range literal.Items {
		if v, diags := entry.KeyExpr.Value(nil); !diags.HasErrors() && v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
			places[v.AsString()] = entryPlace{entry.KeyExpr.Range(), entry.ValueExpr.Range()}
		}
	}
	return places
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
