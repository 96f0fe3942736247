package mesh

import (
	"errors"
	"fmt"
	"regexp"
)

// DocumentSchema is the value of Document.Schema that this release writes and
// reads.
const DocumentSchema = "nixmesh.document/1"

// Namespace is the purpose that the signature of a document names, so that one
// made for something else does not serve here.
const Namespace = "nixmesh-mesh"

// MaxVersion is the last version of a document. What is greater is no whole
// number everywhere.
const MaxVersion = 1<<53 - 1

const maxSignature = 16 << 10 // bytes; a real one has some 300

// Document is a mesh configuration as agents take it: with its place in the
// fleet's chain of versions, and an operator's signature. The configuration
// stands in it as the object that it is, so the canonical text of the one
// contains that of the other.
type Document struct {
	Schema    string  `json:"schema"`
	Fleet     string  `json:"fleet"`             // the configuration's, readable where that is of a newer schema
	Version   int64   `json:"version"`           // 1, 2, …
	Parent    string  `json:"parent,omitempty"`  // hash of the version before, absent with 1
	Operator  string  `json:"operator"`          // who signs
	Release   int64   `json:"release,omitempty"` // that it belongs to
	Config    *Config `json:"config"`
	Signature string  `json:"signature"` // SSHSIG, armored, over the rest

	Unknown Unknown `json:"-"`
}

// NextDocument is the unsigned document that follows the live one, nil where
// there is none yet. Going back to an old configuration is this, too: its
// contents become the next version.
func NextDocument(live *Document, config *Config, operator string) *Document {
	d := &Document{Schema: DocumentSchema, Fleet: config.Fleet, Version: 1, Operator: operator, Config: config}
	if live != nil {
		d.Version, d.Parent = live.Version+1, live.Hash()
	}
	return d
}

// Canonical is the document's one text, signature included.
func (d *Document) Canonical() []byte {
	return appendCanonical(nil, newEncoder().value(d))
}

// Signed is what the signature is over: the canonical text without it.
func (d *Document) Signed() []byte {
	tree := newEncoder().value(d).(map[string]any)
	delete(tree, "signature")
	return appendCanonical(nil, tree)
}

// Hash names the document: that of its signed text. Who signs the same text
// twice has made one document.
func (d *Document) Hash() string { return HashOf(d.Signed()) }

// ParseDocument reads a canonical text and validates it, as Parse does. It does
// not look at who signed: see Signers.
func ParseDocument(text []byte) (*Document, error) {
	d := &Document{}
	tree, err := parseCanonical(text)
	if err == nil {
		err = checkSchema(tree, DocumentSchema)
	}
	if err == nil {
		err = inField("config", checkSchema(tree.(map[string]any)["config"], Schema))
	}
	if err == nil {
		err = newDecoder().into(d, tree)
	}
	if err == nil {
		err = d.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("parse mesh document: %w", err)
	}
	return d, nil
}

// Validate checks what types cannot say, as Config.Validate does. Whose the
// signature is does not matter to it.
func (d *Document) Validate() error {
	if d.Signature == "" || len(d.Signature) > maxSignature {
		return &FieldError{"signature", fmt.Sprintf("%d bytes are no signature", len(d.Signature))}
	}
	return d.checkUnsigned()
}

var hashPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d *Document) checkUnsigned() error {
	switch {
	case d.Schema != DocumentSchema:
		return &FieldError{"schema", fmt.Sprintf("%q is not %q", d.Schema, DocumentSchema)}
	case d.Version < 1 || d.Version > MaxVersion:
		return &FieldError{"version", fmt.Sprintf("%d is not from 1 to %d", d.Version, MaxVersion)}
	case d.Version == 1 && d.Parent != "":
		return &FieldError{"parent", "the first version has none"}
	case d.Version > 1 && !hashPattern.MatchString(d.Parent):
		return &FieldError{"parent", fmt.Sprintf("%q is not a hash", d.Parent)}
	case !namePattern.MatchString(d.Operator):
		return &FieldError{"operator", fmt.Sprintf("%q is not a name", d.Operator)}
	case d.Release < 0 || d.Release > MaxVersion:
		return &FieldError{"release", fmt.Sprintf("%d is not the number of a release", d.Release)}
	case d.Config == nil:
		return &FieldError{"config", "want a mesh configuration"}
	case d.Fleet != d.Config.Fleet:
		return &FieldError{"fleet", fmt.Sprintf("%q, and the configuration is of %q", d.Fleet, d.Config.Fleet)}
	}
	return inField("config", d.Config.Validate())
}

// inField says of a mistake in a part of a document where the part stands.
func inField(name string, err error) error {
	var f *FieldError
	if errors.As(err, &f) {
		if f.Field != "" {
			name += "." + f.Field
		}
		return &FieldError{name, f.Reason}
	}
	return err
}
