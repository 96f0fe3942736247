package spec

// The language is told once, in this table: what a block accepts, how a value is
// written, its default and its bounds. Files are held against it, the decoder
// takes types, defaults and bounds from it, and the reference page and the JSON
// schema are printed from it.

// blockSchema says what a block accepts.
type blockSchema struct {
	kind   string // "service"; "" = a file
	label  string // what the label is: "NAME"; "" = no label
	doc    string // one or two sentences for the reference
	many   bool   // may be repeated, even with the same label
	open   bool   // any argument: locals
	list   []argSchema
	inner  []*blockSchema
	args   map[string]argSchema    // of list, by name
	blocks map[string]*blockSchema // of inner, by kind
}

// argSchema says how an argument stands in its block.
type argSchema struct {
	name     string
	typ      argType
	doc      string
	words    []string // of a choice
	required bool
	fallback string // the default as HCL writes it, "" = unset
	absent   string // in words, what holds where there is no fixed default
	least    float64
	most     float64
	example  string // a correct line for hints
}

// argType is how a value is written, in the words of the reference.
type argType string

// The types. Readers of read.go refuse an argument of another type than theirs,
// so the table cannot say one thing and the decoder do another.
const (
	typeText      argType = "text"
	typeChoice    argType = "choice"
	typeFile      argType = "file"
	typeWords     argType = "words" // a command line
	typePackage   argType = "pkg"
	typeDuration  argType = "dur"
	typeSize      argType = "size"
	typePercent   argType = "pct"
	typeCount     argType = "int or pct"
	typeRate      argType = "rate"
	typeInt       argType = "int"
	typeBool      argType = "bool"
	typeType      argType = "type" // of a variable
	typeAny       argType = "any"
	typeTexts     argType = "[text]"
	typeFiles     argType = "[file]"
	typeImports   argType = "[file or INPUT#nixosModules.X]"
	typeSelectors argType = "[sel]"
	typeCommands  argType = "[words]"
	typePaths     argType = "[path]"
	typePercents  argType = "[pct]"
	typeTextMap   argType = "{text}"
	typeSecrets   argType = "{file or {path}}"
	typeShares    argType = "{pct}"
	typeMatch     argType = "match"
	typeOptions   argType = "{any}"
)

// arg begins an argument of the table; the methods below complete it.
func arg(name string, typ argType, doc string) argSchema {
	return argSchema{name: name, typ: typ, doc: doc}
}

// oneOf is an argument that takes one of a few words.
func oneOf(name, doc string, words ...string) argSchema {
	return argSchema{name: name, typ: typeChoice, doc: doc, words: words}
}

func (a argSchema) need(example string) argSchema { a.required = true; return a.eg(example) }

// eg gives an example of the value; the line is made of it.
func (a argSchema) eg(value string) argSchema { a.example = a.name + " = " + value; return a }

// or gives the default as HCL writes it, which is the example, too.
func (a argSchema) or(value string) argSchema {
	a.fallback = value
	if a.example == "" {
		return a.eg(value)
	}
	return a
}

// unset says what holds when the argument is left out.
func (a argSchema) unset(words string) argSchema { a.absent = words; return a }

// within bounds a number; times are in seconds.
func (a argSchema) within(least, most float64) argSchema {
	a.least, a.most = least, most
	return a
}

// of builds a block's schema; inner blocks follow by holds.
func of(kind, label, doc string, args ...argSchema) *blockSchema {
	s := &blockSchema{kind: kind, label: label, doc: doc, list: args, args: map[string]argSchema{}, blocks: map[string]*blockSchema{}}
	for _, a := range args {
		s.args[a.name] = a
	}
	return s
}

func (s *blockSchema) holds(inner ...*blockSchema) *blockSchema {
	s.inner = append(s.inner, inner...)
	for _, b := range inner {
		s.blocks[b.kind] = b
	}
	return s
}

func (s *blockSchema) repeated() *blockSchema { s.many = true; return s }

// grammar is the language: the blocks of a file.
func grammar() *blockSchema {
	locals := of("locals", "", "Values with names, used as `local.NAME`. A name is defined once in the fleet; values may use each other, unless they go in a circle.").repeated()
	locals.open = true
	return of("", "", "").holds(
		fleetSchema(),
		operatorSchema(),
		hostSchema(),
		serviceSchema(),
		gatewaySchema(),
		externalSchema(),
		of("variable", "NAME", "A value that is given from outside: `--var NAME=VALUE` over `*.vars.hcl` over the default. Used as `var.NAME`.",
			arg("type", typeType, "`string`, `number`, `bool`, `list(string)` or `map(string)`, without quotes.").or("string"),
			arg("default", typeAny, "The value unless another is given.").unset("required").eg(`"info"`),
			arg("description", typeText, "What it is for.").eg(`"log level of all services"`),
		).repeated(),
		locals,
	)
}
