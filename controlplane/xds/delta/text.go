package delta

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"

	"github.com/nixmesh/nixmesh/controlplane/xds"
)

// textMost bounds what is kept of Envoy's words, in bytes.
const textMost = 600

// Envoy sometimes prints the whole of what it refuses, keys too.
var (
	armour = regexp.MustCompile(`(?s)-----BEGIN.*?(-----END[^-]*-----|$)`)
	field  = regexp.MustCompile(`(?s)inline_?(string|bytes|String|Bytes)"?\s*:?.*`)
	quoted = regexp.MustCompile(`"(?:[^"\\]|\\.){49,}("|$)`)
	coded  = regexp.MustCompile(`[A-Za-z0-9+/_=\\-]{41,}`)
)

// clean makes one bounded line of what Envoy says of a resource, with nothing of a
// secret. r may be nil.
func clean(text string, r *xds.Resource) string {
	if len(text) > 1<<16 {
		text = text[:1<<16]
	}
	text = armour.ReplaceAllString(text, "[…]")
	text = field.ReplaceAllString(text, "[…]")
	text = quoted.ReplaceAllString(text, `"[…]"`)
	if r == nil || r.Type == xds.Secret {
		text = coded.ReplaceAllString(text, "[…]")
	}
	if r != nil && r.Type == xds.Secret {
		text = masked(text, r)
	}
	return bounded(text, textMost)
}

// shared is how many bytes a text and a secret may have in common.
const shared = 5

// masked takes out of a text what stands in the resource too, but for its name.
func masked(text string, r *xds.Resource) string {
	text = text[:min(len(text), 8*textMost)]
	var out strings.Builder
	for len(text) > 0 {
		n := min(shared+1, len(text))
		if n <= shared || !bytes.Contains(r.Body, []byte(text[:n])) {
			out.WriteByte(text[0])
			text = text[1:]
			continue
		}
		for n < len(text) && bytes.Contains(r.Body, []byte(text[:n+1])) {
			n++
		}
		if strings.Contains(r.Name, text[:n]) {
			out.WriteString(text[:n])
		} else {
			out.WriteString("[…]")
		}
		text = text[n:]
	}
	return out.String()
}

// bounded makes one printable line of at most that many bytes.
func bounded(text string, most int) string {
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r)
	}), " ")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len("…")], "") + "…"
}
