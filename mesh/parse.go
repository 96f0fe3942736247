package mesh

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// FieldError is what is wrong with one member of a document.
type FieldError struct {
	Field  string // "services.api.listens[0].protocol", "" = the whole
	Reason string
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}

// Parse reads a canonical text and validates it. A wrong value, one that is
// missing, or a name that leads nowhere gives a *FieldError.
func Parse(text []byte) (*Config, error) {
	c := &Config{}
	tree, err := parseCanonical(text)
	if err == nil {
		err = checkSchema(tree, Schema)
	}
	if err == nil {
		err = newDecoder().into(c, tree)
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("parse mesh configuration: %w", err)
	}
	return c, nil
}

// parseCanonical reads a text of bounded size that is in canonical form.
func parseCanonical(text []byte) (any, error) {
	if len(text) > MaxSize {
		return nil, fmt.Errorf("%d bytes, at most %d are taken", len(text), MaxSize)
	}
	tree, err := parseTree(text)
	if err != nil {
		return nil, err
	}
	if again := appendCanonical(nil, tree); !bytes.Equal(again, text) {
		return nil, fmt.Errorf("not in canonical form from byte %d on", firstDifference(again, text))
	}
	return tree, nil
}

// checkSchema comes before everything else, since another form may differ in
// anything but this member.
func checkSchema(tree any, want string) error {
	object, _ := tree.(map[string]any)
	schema, _ := object["schema"].(string)
	if schema == want {
		return nil
	}
	name, number, _ := strings.Cut(want, "/")
	own, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	text, ok := strings.CutPrefix(schema, name+"/")
	theirs, err := strconv.Atoi(text)
	switch {
	case !ok || err != nil:
		return &FieldError{"schema", fmt.Sprintf("%q is not %q", schema, want)}
	case theirs > own:
		return &FieldError{"schema", fmt.Sprintf("%q is of a newer nixmesh; this one reads %q", schema, want)}
	default:
		return &FieldError{"schema", fmt.Sprintf("%q is of an older nixmesh; this one reads %q", schema, want)}
	}
}

// firstDifference is the first byte in which two texts differ.
func firstDifference(a, b []byte) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
