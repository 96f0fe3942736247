package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxInner is the most blocks in another one. Some rules compare each with each.
const maxInner = 10000

// structure holds a body against its schema, into b.
func (s *sink) structure(b *block, schema *blockSchema, body *hclsyntax.Body) {
	b.schema, b.attrs, b.refused = schema, map[string]*attr{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		if s.full() {
			return
		}
		s.argument(b, schema, body.Attributes[name])
	}
	count := map[string]int{}
	first := map[string]hcl.Range{}
	for _, inner := range body.Blocks {
		if s.full() {
			return
		}
		if b.kind != "" && len(b.blocks) == maxInner {
			s.add(problem{code: "NM0210", rng: inner.DefRange(), block: b.title, detail: fmt.Sprintf("%s holds more than %d blocks.", theBlock(b), maxInner), hint: "make several of it"})
			return
		}
		c, ok := s.inner(b, schema, inner)
		if !ok {
			continue
		}
		key := c.kind + " " + c.label
		if earlier, twice := first[key]; twice && !schema.blocks[c.kind].many {
			p := problem{code: "NM0107", rng: c.header, block: b.title,
				detail: fmt.Sprintf("There is a %q block at %s already.", c.kind, at(earlier)), hint: "keep one of the two"}
			if c.label != "" {
				b.refused[c.kind] = true // another name may have been meant
				p.detail = fmt.Sprintf("There is a block %s %q at %s already.", c.kind, c.label, at(earlier))
				p.hint = "keep one of the two, or give one of them another label"
			}
			s.add(p)
			continue
		}
		first[key] = c.header
		if schema.blocks[c.kind].label == "NAME" {
			c.path = strings.TrimPrefix(b.path+"."+c.kind+"."+c.label, ".")
		} else if schema.blocks[c.kind].many {
			c.path = fmt.Sprintf("%s.%s[%d]", b.path, c.kind, count[c.kind])
		} else {
			c.path = b.path + "." + c.kind
		}
		count[c.kind]++
		s.structure(c, schema.blocks[c.kind], inner.Body)
		b.blocks = append(b.blocks, c)
	}
}

func (s *sink) argument(b *block, schema *blockSchema, a *hclsyntax.Attribute) {
	s.mention(a.Expr)
	arg, known := schema.args[a.Name]
	inner := schema.blocks[a.Name]
	switch {
	case known, schema.open:
		b.attrs[a.Name] = &attr{name: a.Name, key: a.NameRange, schema: arg, expr: a.Expr, title: b.title, path: b.path}
	case inner != nil:
		b.refused[a.Name] = true
		s.add(problem{code: "NM0103", rng: a.NameRange, block: b.title,
			detail: fmt.Sprintf("%q is a block, not an argument.", a.Name), hint: "write it without \"=\": " + blockForm(a.Name, inner, a.NameRange.Filename)})
	default:
		b.refused[nearest(a.Name, words(schema))] = true
		s.add(problem{code: "NM0102", rng: a.NameRange, block: b.title,
			detail: fmt.Sprintf("%s has no argument named %q.", theBlock(b), a.Name), hint: accepts(a.Name, schema)})
	}
}

// mention notes which variables and locals an expression names.
func (s *sink) mention(expr hclsyntax.Expression) {
	if isLiteral(expr) {
		return
	}
	for _, t := range expr.Variables() {
		if names := steps(t); len(names) > 0 {
			s.mentioned[t.RootName()+"."+names[0]] = true
		}
	}
}

// inner checks a block's kind and label.
func (s *sink) inner(b *block, schema *blockSchema, h *hclsyntax.Block) (*block, bool) {
	in, known := schema.blocks[h.Type]
	arg, isArg := schema.args[h.Type]
	switch {
	case isArg:
		b.refused[h.Type] = true
		s.add(problem{code: "NM0103", rng: h.TypeRange, block: b.title,
			detail: fmt.Sprintf("%q is an argument, not a block.", h.Type), hint: "write it with \"=\": " + arg.example})
		return nil, false
	case !known && b.kind == "" && h.Type == "lab":
		s.add(problem{code: "NM0007", rng: h.TypeRange, detail: `A "lab" block stands only in lab.hcl.`, hint: "move it to lab.hcl"})
		return nil, false
	case !known:
		b.refused[nearest(h.Type, words(schema))] = true
		s.add(problem{code: "NM0103", rng: h.TypeRange, block: b.title,
			detail: fmt.Sprintf("%s has no block named %q.", theBlock(b), h.Type), hint: accepts(h.Type, schema)})
		return nil, false
	}
	c := &block{kind: h.Type, title: b.title, header: h.DefRange(), name: h.TypeRange}
	if len(h.Labels) == 0 && in.label != "" {
		b.refused[h.Type] = true
	}
	if len(h.Labels) > 0 {
		c.label, c.name = h.Labels[0], h.LabelRanges[0]
	}
	if b.kind == "" || b.kind == "lab" {
		c.title = h.Type
		if c.label != "" {
			c.title = fmt.Sprintf("%s %q", h.Type, c.label)
		}
	}
	if in.label == "NAME" && !isName(c.label) {
		b.refused[h.Type] = true // nothing can name it
	}
	return c, s.labels(c, in, h)
}

func (s *sink) labels(c *block, schema *blockSchema, h *hclsyntax.Block) bool {
	want := 0
	if schema.label != "" {
		want = 1
	}
	switch {
	case len(h.Labels) < want:
		s.add(problem{code: "NM0106", rng: h.TypeRange, block: c.title,
			detail: fmt.Sprintf("The block %s needs a label.", h.Type), hint: "write " + blockForm(h.Type, schema, h.TypeRange.Filename)})
		return false
	case len(h.Labels) > want:
		s.add(problem{code: "NM0106", rng: h.LabelRanges[want], block: c.title,
			detail: fmt.Sprintf("The block %s has too many labels: %d, not %d.", h.Type, len(h.Labels), want), hint: "write " + blockForm(h.Type, schema, h.TypeRange.Filename)})
	case schema.label == "NAME" && !isName(c.label):
		s.add(problem{code: "NM0106", rng: c.name, block: c.title,
			detail: fmt.Sprintf("%q is not a name.", c.label), hint: nameRule})
	}
	return true
}

// required reports the arguments that a block lacks, at its header.
func (s *sink) required(b *block) {
	for _, name := range slices.Sorted(maps.Keys(b.schema.args)) {
		if arg := b.schema.args[name]; arg.required && !b.meant(name) {
			s.add(problem{code: "NM0104", rng: b.header, block: b.title,
				detail: fmt.Sprintf("%s needs the argument %q.", theBlock(b), name), hint: "add " + arg.example})
		}
	}
}

// words are all that a block may hold.
func words(schema *blockSchema) []string {
	return slices.Concat(slices.Collect(maps.Keys(schema.args)), slices.Collect(maps.Keys(schema.blocks)))
}

// accepts is the hint for an unknown word: the nearest of the block's, or all.
func accepts(word string, schema *blockSchema) string {
	return didYouMean(word, words(schema), "it accepts")
}

func theBlock(b *block) string {
	switch {
	case b.kind == "":
		return "A file"
	case strings.ContainsRune("aeiou", rune(b.kind[0])):
		return "An " + b.kind + " block"
	default:
		return "A " + b.kind + " block"
	}
}

// blockForm is how a block is written in a file.
func blockForm(kind string, schema *blockSchema, file string) string {
	switch {
	case isJSON(file) && schema.label == "":
		return fmt.Sprintf("%q: { … }", kind)
	case isJSON(file):
		return fmt.Sprintf("%q: { %q: { … } }", kind, schema.label)
	case schema.label == "":
		return kind + " { … }"
	default:
		return fmt.Sprintf("%s %q { … }", kind, schema.label)
	}
}
