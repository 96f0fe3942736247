package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// block is a block that its schema accepts. What the schema refuses was
// reported and is left out.
type block struct {
	kind    string
	schema  *blockSchema
	label   string // "" without
	title   string // of the outermost block: `service "web"`
	path    string // "service.web.check[0]"; names what was written, see Loaded.Written
	header  hcl.Range
	name    hcl.Range // the label, else the kind
	attrs   map[string]*attr
	blocks  []*block
	refused map[string]bool // known words that were meant here, and refused: later ones, wrong forms, typos
}

// attr is an argument with its value not yet evaluated.
type attr struct {
	name   string
	key    hcl.Range // the name
	schema argSchema
	expr   hclsyntax.Expression
	title  string // of the outermost block
	path   string // of its block
	bad    bool   // its value was refused: readers gave the default instead
}

func (b *block) has(name string) bool { return b.attrs[name] != nil }

// meant says whether an argument stands in the block, or was meant to.
func (b *block) meant(name string) bool { return b.has(name) || b.refused[name] }

// all are the blocks of a kind, in the order of the file.
func (b *block) all(kind string) []*block {
	var found []*block
	for _, c := range b.blocks {
		if c.kind == kind {
			found = append(found, c)
		}
	}
	return found
}

// named is the block of a kind with a label, nil without.
func (b *block) named(kind, label string) *block {
	for _, c := range b.blocks {
		if c.kind == kind && c.label == label {
			return c
		}
	}
	return nil
}

// one is the block of a kind, or an empty one that gives every default.
func (b *block) one(kind string) *block {
	for _, c := range b.blocks {
		if c.kind == kind {
			return c
		}
	}
	return &block{kind: kind, schema: b.schema.blocks[kind], title: b.title, path: b.path + "." + kind, header: b.header, name: b.name}
}

func (b *block) place() Place {
	return Place{File: b.header.Filename, Line: b.header.Start.Line, Block: b.title}
}

func (a *attr) place() Place {
	return Place{File: a.key.Filename, Line: a.key.Start.Line, Block: a.title}
}
