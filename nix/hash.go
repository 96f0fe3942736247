package nix

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Errors about store paths.
var (
	// ErrInvalidPath is a path that the store asked does not hold.
	ErrInvalidPath = errors.New("store path is not valid")
)

// nix32Alphabet leaves out e, o, t and u.
const nix32Alphabet = "0123456789abcdfghijklmnpqrsvwxyz"

// nix32 is Nix's base 32: five bits at a time, last byte first.
func nix32(b []byte) string {
	n := (len(b)*8-1)/5 + 1
	var s strings.Builder
	for i := n - 1; i >= 0; i-- {
		bit := i * 5
		v := int(b[bit/8]) >> (bit % 8)
		if bit/8+1 < len(b) {
			v |= int(b[bit/8+1]) << (8 - bit%8)
		}
		s.WriteByte(nix32Alphabet[v&31])
	}
	return s.String()
}

// fromNix32 reverses nix32.
func fromNix32(s string) ([]byte, error) {
	out := make([]byte, len(s)*5/8)
	for i := range len(s) {
		v := strings.IndexByte(nix32Alphabet, s[len(s)-1-i])
		if v < 0 {
			return nil, fmt.Errorf("%q is not Nix's base 32", s)
		}
		bit := i * 5
		out[bit/8] |= byte(v << (bit % 8))
		if carry := byte(v >> (8 - bit%8)); bit/8+1 < len(out) {
			out[bit/8+1] |= carry
		} else if carry != 0 {
			return nil, fmt.Errorf("%q is not Nix's base 32", s)
		}
	}
	return out, nil
}

// parseHash reads a SHA-256 in any form that nix prints, as SRI.
func parseHash(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return sri(text)
	}
	var parts struct{ Algorithm, Format, Hash string }
	if err := json.Unmarshal(raw, &parts); err != nil || parts.Algorithm != "sha256" {
		return "", fmt.Errorf("hash %s is not understood", raw)
	}
	return sri("sha256:" + parts.Hash)
}

// sri turns sha256-BASE64, sha256:NIX32, sha256:HEX or sha256:BASE64 into SRI.
func sri(text string) (string, error) {
	body, ok := strings.CutPrefix(text, "sha256-")
	if !ok {
		body, ok = strings.CutPrefix(text, "sha256:")
	}
	if !ok {
		return "", fmt.Errorf("hash %q is no SHA-256", text)
	}
	var b []byte
	var err error
	switch len(body) {
	case 52:
		b, err = fromNix32(body)
	case 64:
		b, err = hex.DecodeString(body)
	default:
		b, err = base64.StdEncoding.DecodeString(body)
	}
	if err != nil || len(b) != 32 {
		return "", fmt.Errorf("hash %q is no SHA-256", text)
	}
	return "sha256-" + base64.StdEncoding.EncodeToString(b), nil
}
