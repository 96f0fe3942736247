package hostfacts

import (
	"slices"
	"strings"
)

// RevokedPath is where a host remembers the keys of operators that a committed
// release removed, one "TYPE BASE64" a line. They stay refused there whatever a
// generation that comes back lists. The file may be missing.
const RevokedPath = "/var/lib/nixmesh/operators.revoked"

// nixKeyType is the type of a nix key in the list: Nix itself tells keys by a
// name, which may be another one for the same key.
const nixKeyType = "nix"

// SigningKey is the key of a line as in authorized_keys as the list has it,
// "ssh-ed25519 AAAA…": without the options before it and the comment behind; ""
// where there is none.
func SigningKey(line string) string {
	words := strings.Fields(line)
	// In base64 every SSH key begins so, and its type stands before it.
	i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "AAAA") })
	if i < 1 {
		return ""
	}
	return words[i-1] + " " + words[i]
}

// NixKey is a key "NAME:BASE64" as the list has it; "" where it is none.
func NixKey(text string) string {
	_, key, ok := strings.Cut(strings.TrimSpace(text), ":")
	if !ok || key == "" || strings.ContainsAny(key, " \t") {
		return ""
	}
	return nixKeyType + " " + key
}

// ParseRevoked reads the list. What is no key is left out; a comment begins
// with #.
func ParseRevoked(text []byte) []string {
	var keys []string
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) >= 2 && !strings.HasPrefix(words[0], "#") {
			keys = append(keys, words[0]+" "+words[1])
		}
	}
	return keys
}

// FormatRevoked is the text of the list: sorted, each key once.
func FormatRevoked(keys []string) []byte {
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(k + "\n")
	}
	return []byte(b.String())
}
