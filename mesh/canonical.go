package mesh

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Canonical is the configuration's one text: RFC 8785. Sets are sorted; lists
// whose order means something keep it.
func (c *Config) Canonical() []byte {
	return appendCanonical(nil, newEncoder().value(c))
}

// Hash names the configuration: the SHA-256 of its canonical text, in hex.
func (c *Config) Hash() string { return HashOf(c.Canonical()) }

// HashOf is the hash of a canonical text.
func HashOf(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// parseTree reads JSON as nil, bool, float64, string, []any, map[string]any.
func parseTree(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("read JSON: not UTF-8")
	}
	var tree any
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&tree); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	return tree, nil
}

func appendCanonical(b []byte, tree any) []byte {
	switch v := tree.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendNumber(b, v)
	case string:
		return appendText(b, v)
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendCanonical(b, item)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		names := slices.AppendSeq(make([]string, 0, len(v)), maps.Keys(v))
		slices.SortFunc(names, compareUTF16)
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, name), ':')
			b = appendCanonical(b, v[name])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("mesh: %T has no canonical form", tree))
}

// appendNumber writes a number as ECMAScript does, which is what RFC 8785 asks
// for and, minus zero aside, what encoding/json writes.
func appendNumber(b []byte, v float64) []byte {
	if v == 0 {
		return append(b, '0')
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("mesh: %v has no canonical form", v))
	}
	return append(b, text...)
}

// appendText writes a text with the escapes of RFC 8785 and no others. Bytes
// that are not UTF-8 become U+FFFD.
func appendText(b []byte, s string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r < ' ':
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// compareUTF16 orders names by their UTF-16 code units, as RFC 8785 asks.
func compareUTF16(a, b string) int {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] != b[i] {
			if a[i] < utf8.RuneSelf && b[i] < utf8.RuneSelf {
				return cmp.Compare(a[i], b[i])
			}
			return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
		}
	}
	return cmp.Compare(len(a), len(b))
}
