package compile

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var bareName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_'-]*$`)

// nixString writes a Nix string literal.
func nixString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, r := range s {
		switch r {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		case '$':
			// "${" opens an expression and "$$" takes the next dollar with it.
			if next := s[i+1:]; strings.HasPrefix(next, "{") || strings.HasPrefix(next, "$") {
				b.WriteByte('\\')
			}
			b.WriteByte('$')
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// nixName writes one element of an attribute path, quoted where it has to be.
func nixName(s string) string {
	switch s {
	case "if", "then", "else", "assert", "with", "let", "in", "rec", "inherit", "or":
		return nixString(s)
	}
	if bareName.MatchString(s) {
		return s
	}
	return nixString(s)
}

// nixPath writes an attribute path of several elements.
func nixPath(elements ...string) string {
	names := make([]string, len(elements))
	for i, e := range elements {
		names[i] = nixName(e)
	}
	return strings.Join(names, ".")
}

// splitPath splits the text of an option path at its dots. A part in double
// quotes keeps its dots: boot.kernel.sysctl."net.ipv4.ip_forward".
func splitPath(s string) []string {
	var parts []string
	var part strings.Builder
	quoted := false
	for _, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '.' && !quoted:
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteRune(r)
		}
	}
	return append(parts, part.String())
}

// nixValue is the Nix expression of a free-form value of the spec: nil, bool,
// string, int64, float64, []any or map[string]any.
func nixValue(v any) expr {
	switch v := v.(type) {
	case nil:
		return raw("null")
	case bool:
		return raw(strconv.FormatBool(v))
	case string:
		return str(v)
	case int:
		return nixInt(int64(v))
	case int64:
		return nixInt(v)
	case float64:
		return nixFloat(v)
	case []any:
		l := make(list, 0, len(v))
		for _, e := range v {
			l = append(l, nixValue(e))
		}
		return l
	case map[string]any:
		return attrsOf(v, nixValue)
	default:
		// spec builds these trees of the types above only.
		panic(fmt.Sprintf("compile: no Nix text for a %T", v))
	}
}

// nixInt writes an integer. Negative ones stand in parentheses, since a list
// takes "-1" for two elements; the smallest has no literal.
func nixInt(v int64) expr {
	switch {
	case v == math.MinInt64:
		return raw("(-9223372036854775807 - 1)")
	case v < 0:
		return raw("(" + strconv.FormatInt(v, 10) + ")")
	}
	return raw(strconv.FormatInt(v, 10))
}

// nixFloat writes a float, which needs a point in Nix. A whole number that
// HCL made a float stays an integer.
func nixFloat(v float64) expr {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return nixInt(int64(v))
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	if v < 0 {
		s = "(" + s + ")"
	}
	return raw(s)
}

// attrsOf is a set with the map's keys in order.
func attrsOf[V any](m map[string]V, value func(V) expr) attrs {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	a := make(attrs, 0, len(keys))
	for _, k := range keys {
		a = append(a, bind(nixName(k), value(m[k])))
	}
	return a
}
