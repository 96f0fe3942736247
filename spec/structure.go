package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// structure holds a body against its schema, into b.
func (s *sink) structure(b *block, schema *blockSchema, body *hclsyntax.Body) {
	b.attrs, b.refused = map[string]*attr{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		s.argument(b, schema, body.Attributes[name])
	}
	count := map[string]int{}
	first := map[string]hcl.Range{}
	for _, inner := range body.Blocks {
		c, ok := s.inner(b, schema, inner)
		if !ok {
			continue
		}
		key := c.kind + " " + c.label
		if earlier, twice := first[key]; twice && !schema.blocks[c.kind].many {
			s.add(problem{code: "NM0107", rng: c.header, block: b.title,
				detail: fmt.Sprintf("There is a %q block at %s already.", c.kind, at(earlier)), hint: "keep one of the two"})
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
	arg, known := schema.args[a.Name]
	inner := schema.blocks[a.Name]
	switch {
	case known && arg.later, inner != nil && inner.later:
		b.refused[a.Name] = true
		s.notYet(a.NameRange, b, a.Name)
	case known:
		b.attrs[a.Name] = &attr{name: a.Name, key: a.NameRange, expr: a.Expr, title: b.title, path: b.path, example: arg.example}
	case inner != nil:
		b.refused[a.Name] = true
		s.add(problem{code: "NM0103", rng: a.NameRange, block: b.title,
			detail: fmt.Sprintf("%q is a block, not an argument.", a.Name), hint: "write it without \"=\": " + blockForm(a.Name, inner)})
	default:
		b.refused[nearest(a.Name, words(schema))] = true
		s.add(problem{code: "NM0102", rng: a.NameRange, block: b.title,
			detail: fmt.Sprintf("%s has no argument named %q.", theBlock(b), a.Name), hint: accepts(a.Name, schema)})
	}
}

// inner checks a block's kind and label.
func (s *sink) inner(b *block, schema *blockSchema, h *hclsyntax.Block) (*block, bool) {
	in, known := schema.blocks[h.Type]
	arg, isArg := schema.args[h.Type]
	switch {
	case known && in.later, isArg && arg.later:
		b.refused[h.Type] = true
		s.notYet(h.TypeRange, b, h.Type)
		return nil, false
	case isArg:
		b.refused[h.Type] = true
		s.add(problem{code: "NM0103", rng: h.TypeRange, block: b.title,
			detail: fmt.Sprintf("%q is an argument, not a block.", h.Type), hint: "write it with \"=\": " + arg.example})
		return nil, false
	case !known && b.kind == "" && (h.Type == "lab"):
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
			detail: fmt.Sprintf("A %s block needs a label.", h.Type), hint: "write " + blockForm(h.Type, schema)})
		return false
	case len(h.Labels) > want:
		s.add(problem{code: "NM0106", rng: h.LabelRanges[want], block: c.title,
			detail: fmt.Sprintf("A %s block has %d label(s), not %d.", h.Type, want, len(h.Labels)), hint: "write " + blockForm(h.Type, schema)})
	case schema.label == "NAME" && !isName(c.label):
		s.add(problem{code: "NM0106", rng: c.name, block: c.title,
			detail: fmt.Sprintf("%q is not a name.", c.label), hint: nameRule})
	}
	return true
}

// required reports the arguments that a block lacks, at its header.
func (s *sink) required(b *block, schema *blockSchema) {
	for _, name := range slices.Sorted(maps.Keys(schema.args)) {
		if arg := schema.args[name]; arg.required && !b.meant(name) {
			s.add(problem{code: "NM0104", rng: b.header, block: b.title,
				detail: fmt.Sprintf("%s needs the argument %q.", theBlock(b), name), hint: "add " + arg.example})
		}
	}
}

func (s *sink) notYet(r hcl.Range, b *block, word string) {
	s.add(problem{code: "NM0109", rng: r, block: b.title,
		detail: fmt.Sprintf("%q comes with a later release of nixmesh; this one refuses it, rather than ignore it.", word),
		hint:   "delete it, or use a release whose notes name it"})
}

// words are all that a block may hold, in this release or a later one.
func words(schema *blockSchema) []string {
	return slices.Concat(slices.Collect(maps.Keys(schema.args)), slices.Collect(maps.Keys(schema.blocks)))
}

// accepts is the hint for an unknown word: the nearest that the language has, or
// all that this release takes.
func accepts(word string, schema *blockSchema) string {
	var now []string
	for name, arg := range schema.args {
		if !arg.later {
			now = append(now, name)
		}
	}
	for name, inner := range schema.blocks {
		if !inner.later {
			now = append(now, name)
		}
	}
	if n := nearest(word, words(schema)); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return didYouMean("", now, "it accepts")
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

func blockForm(kind string, schema *blockSchema) string {
	if schema.label == "" {
		return kind + " { … }"
	}
	return fmt.Sprintf("%s %q { … }", kind, schema.label)
}
