package spec

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// isJSON says whether a file is in HCL's JSON syntax.
func isJSON(name string) bool { return strings.HasSuffix(name, ".json") }

// jsonFile turns a file in HCL's JSON syntax into what the native syntax would
// have given, so that everything after reading is the same. JSON does not tell
// blocks from arguments: the schema does.
type jsonFile struct {
	*sink
	name   string
	src    []byte
	title  string // of the outermost block
	broken bool   // a text is no template: the file is not read
}

// parseJSON reads one file's syntax. The body is nil when that has errors.
func (s *sink) parseJSON(name string, src []byte, schema *blockSchema) *hclsyntax.Body {
	root, diags := hcljson.ParseExpression(src, name)
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			s.add(problem{code: "NM0101", rng: upToEnd(subject(d, name), src), detail: syntaxDetail(d), hint: "a file that ends in .json is JSON: texts in double quotes, no comma after the last entry"})
			return nil
		}
	}
	j := &jsonFile{sink: s, name: name, src: src}
	body := j.body(root, schema, "A file", "{ … }")
	if j.broken {
		return nil
	}
	return body
}

// upToEnd cuts a range off at the end of the file: HCL counts the byte behind it.
func upToEnd(r hcl.Range, src []byte) hcl.Range {
	for _, p := range []*hcl.Pos{&r.Start, &r.End} {
		if p.Byte > len(src) {
			*p = posOf(src, len(src))
		}
	}
	return r
}

// properties are those of an object, or of a list of objects; null has none.
func (j *jsonFile) properties(expr hcl.Expression, what, form string) []hcl.KeyValuePair {
	if pairs, is := objectOf(expr); is {
		return pairs
	}
	var pairs []hcl.KeyValuePair
	list, is := listOf(expr)
	for _, entry := range list {
		more, isObject := objectOf(entry)
		is = is && isObject
		pairs = append(pairs, more...)
	}
	if !is && !isNull(expr) {
		j.add(problem{code: "NM0103", rng: expr.Range(), block: j.title, detail: what + " is an object in JSON.", hint: "write " + form})
		j.broken = true
	}
	return pairs
}

func (j *jsonFile) body(expr hcl.Expression, schema *blockSchema, what, form string) *hclsyntax.Body {
	body := &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: expr.Range()}
	for _, p := range j.properties(expr, what, form) {
		name, rng := keyText(p), p.Key.Range()
		_, isArg := schema.args[name]
		_, isObject := objectOf(p.Value)
		_, isKind := schema.blocks[nearest(name, words(schema))]
		switch {
		case name == "//": // HCL's comment in JSON
		case schema.blocks[name] != nil:
			j.blocks(body, name, p, schema.blocks[name])
		case !isArg && isObject && (isKind || name == "lab"): // a typo in the name of a block
			body.Blocks = append(body.Blocks, &hclsyntax.Block{Type: name, TypeRange: rng, Body: &hclsyntax.Body{}})
		case body.Attributes[name] != nil:
			j.add(problem{code: "NM0107", rng: rng, block: j.title, detail: fmt.Sprintf("The argument %q stands at %s already.", name, at(body.Attributes[name].NameRange)), hint: "keep one of the two"})
		default:
			if value := j.expression(p.Value); value != nil {
				body.Attributes[name] = &hclsyntax.Attribute{Name: name, Expr: value, SrcRange: hcl.RangeBetween(rng, p.Value.Range()), NameRange: rng}
			}
		}
	}
	return body
}

// blocks adds those of one property: KIND: {…}, or KIND: {LABEL: {…}, …}; where
// an object may stand, several may in a list.
func (j *jsonFile) blocks(body *hclsyntax.Body, kind string, p hcl.KeyValuePair, schema *blockSchema) {
	what, form := theBlock(&block{kind: kind}), blockForm(kind, schema, j.name)
	if schema.label == "" {
		j.instances(body, &hclsyntax.Block{Type: kind, TypeRange: p.Key.Range()}, p.Value, schema, what, form)
		return
	}
	for _, labelled := range j.properties(p.Value, what, form) {
		rng := labelled.Key.Range()
		block := &hclsyntax.Block{Type: kind, TypeRange: rng, Labels: []string{keyText(labelled)}, LabelRanges: []hcl.Range{rng}}
		if !j.instances(body, block, labelled.Value, schema, what, form) {
			return
		}
	}
}

// instances adds one block for an object, or one for each of a list. The place
// of a block is what it alone has: its label, or in a list its brace.
func (j *jsonFile) instances(body *hclsyntax.Body, block *hclsyntax.Block, expr hcl.Expression, schema *blockSchema, what, form string) bool {
	if outermost := j.title == ""; outermost {
		j.title = strings.TrimSpace(block.Type + " " + strings.Join(quoted(block.Labels), " "))
		defer func() { j.title = "" }()
	}
	list, isList := listOf(expr)
	if _, isObject := objectOf(expr); isObject || !isList && !isNull(expr) {
		list = []hcl.Expression{expr}
	}
	for _, one := range list {
		b := *block
		if isList {
			b.TypeRange = one.StartRange()
			b.LabelRanges = slices.Repeat([]hcl.Range{b.TypeRange}, len(b.Labels))
		}
		if _, isObject := objectOf(one); !isObject {
			j.add(problem{code: "NM0103", rng: one.Range(), block: j.title, detail: what + " is an object in JSON.", hint: "write " + form})
			j.broken = true
			return false
		}
		b.OpenBraceRange = one.StartRange()
		b.Body = j.body(one, schema, what, form)
		body.Blocks = append(body.Blocks, &b)
	}
	return true
}

// expression is the native expression of a value; nil if a text in it is no
// template, which was reported.
func (j *jsonFile) expression(expr hcl.Expression) hclsyntax.Expression {
	if list, is := listOf(expr); is {
		tuple := &hclsyntax.TupleConsExpr{SrcRange: expr.Range(), OpenRange: expr.StartRange()}
		for _, entry := range list {
			if value := j.expression(entry); value != nil {
				tuple.Exprs = append(tuple.Exprs, value)
			}
		}
		return tuple
	}
	if pairs, is := objectOf(expr); is {
		object := &hclsyntax.ObjectConsExpr{SrcRange: expr.Range(), OpenRange: expr.StartRange()}
		for _, p := range pairs {
			key, value := j.template(keyText(p), p.Key.Range()), j.expression(p.Value)
			if key != nil && value != nil {
				object.Items = append(object.Items, hclsyntax.ObjectConsItem{KeyExpr: &hclsyntax.ObjectConsKeyExpr{Wrapped: key, ForceNonLiteral: true}, ValueExpr: value})
			}
		}
		return object
	}
	v, _ := expr.Value(nil)
	if v.Type() == cty.String && !v.IsNull() {
		return j.template(v.AsString(), expr.Range())
	}
	return &hclsyntax.LiteralValueExpr{Val: v, SrcRange: expr.Range()}
}

// template reads a text, which may hold ${…} as in the native syntax.
func (j *jsonFile) template(text string, rng hcl.Range) hclsyntax.Expression {
	literal := &hclsyntax.TemplateExpr{Parts: []hclsyntax.Expression{&hclsyntax.LiteralValueExpr{Val: cty.StringVal(text), SrcRange: rng}}, SrcRange: rng}
	if !strings.Contains(text, "${") && !strings.Contains(text, "%{") {
		return literal
	}
	if strings.ContainsRune(string(j.src[rng.Start.Byte:rng.End.Byte]), '\\') {
		j.escaped[j.name] = append(j.escaped[j.name], rng)
	}
	start := hcl.Pos{Line: rng.Start.Line, Column: rng.Start.Column + 1, Byte: rng.Start.Byte + 1}
	tokens, _ := hclsyntax.LexTemplate([]byte(text), j.name, start)
	if deep, is := tooDeep(tokens); is {
		j.broken = true
		j.add(problem{code: "NM0001", rng: j.inSource(j.src, deep), block: j.title, detail: fmt.Sprintf("The text is nested deeper than %d levels.", maxNesting), hint: "split the expression"})
		return nil
	}
	if j.melded > maxMelding || !j.meld(j.src, tokens, j.title) {
		j.broken = true
		return nil
	}
	expr, diags := hclsyntax.ParseTemplate([]byte(text), j.name, start)
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			j.broken = true
			j.add(problem{code: "NM0101", rng: j.inSource(j.src, subject(d, j.name)), block: j.title, detail: syntaxDetail(d), hint: "${ and %{ begin an expression, in JSON, too; $${ and %%{ are the characters"})
			return nil
		}
	}
	switch x := expr.(type) {
	case *hclsyntax.TemplateExpr:
		x.SrcRange = rng
	case *hclsyntax.TemplateWrapExpr:
		x.SrcRange = rng
	}
	return expr
}

// inSource is the place in the file of a range in a template. Templates are read
// without the escapes of JSON, so behind one their places are too early.
func (s *sink) inSource(src []byte, r hcl.Range) hcl.Range {
	i, found := slices.BinarySearchFunc(s.escaped[r.Filename], r.Start.Byte, func(text hcl.Range, at int) int {
		switch {
		case text.End.Byte <= at:
			return -1
		case text.Start.Byte > at:
			return 1
		default:
			return 0
		}
	})
	if !found || s.escaped[r.Filename][i].Start.Byte == r.Start.Byte {
		return r
	}
	text := s.escaped[r.Filename][i]
	from := unescaped(src, text, r.Start.Byte)
	return hcl.Range{Filename: r.Filename, Start: from, End: unescaped(src, text, max(r.End.Byte, r.Start.Byte))}
}

// unescaped is the place that byte at would have if the text were not escaped.
func unescaped(src []byte, text hcl.Range, at int) hcl.Pos {
	p := hcl.Pos{Line: text.Start.Line, Column: text.Start.Column + 1, Byte: text.Start.Byte + 1}
	for read := p.Byte; read < at && p.Byte < text.End.Byte-1; {
		_, size := utf8.DecodeRune(src[p.Byte:])
		if src[p.Byte] == '\\' {
			size = 2
			if src[p.Byte+1] == 'u' {
				size = 6
			}
			if surrogate := strings.ToLower(string(src[p.Byte+2 : p.Byte+size])); surrogate >= "d800" && surrogate < "dc00" && src[p.Byte+size] == '\\' {
				size = 12 // two of them are one letter
			}
		}
		var letter string
		if json.Unmarshal([]byte(`"`+string(src[p.Byte:p.Byte+size])+`"`), &letter) == nil {
			read += len(letter)
		}
		p.Byte += size
		p.Column += utf8.RuneCount(src[p.Byte-size : p.Byte])
	}
	return p
}

// entries are those of a list, and whether it is one.
func listOf(expr hcl.Expression) ([]hcl.Expression, bool) {
	list := expr.(interface{ ExprList() []hcl.Expression }).ExprList()
	return list, list != nil
}

// members are those of an object, and whether it is one.
func objectOf(expr hcl.Expression) ([]hcl.KeyValuePair, bool) {
	pairs := expr.(interface{ ExprMap() []hcl.KeyValuePair }).ExprMap()
	return pairs, pairs != nil
}

func isNull(expr hcl.Expression) bool {
	v, _ := expr.Value(nil)
	return v.IsNull()
}

func keyText(p hcl.KeyValuePair) string {
	v, _ := p.Key.Value(nil)
	return v.AsString()
}
