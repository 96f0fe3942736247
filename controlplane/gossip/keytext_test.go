package gossip

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestKeyText(t *testing.T) {
	one, two := NewKeyText(), NewKeyText()
	if bytes.Equal(one, two) || bytes.Count(one, []byte("\n")) != 1 {
		t.Errorf("made %q and %q", one, two)
	}
	keys, err := ParseKeys(append(bytes.Clone(one), two...))
	if err != nil || len(keys) != 2 || len(keys[0]) != KeySize || bytes.Equal(keys[0], keys[1]) {
		t.Fatalf("got %d keys, %v", len(keys), err)
	}
	if again, err := ParseKeys(bytes.TrimSpace(one)); err != nil || !bytes.Equal(again[0], keys[0]) {
		t.Errorf("without the end of the line: %v", err)
	}
	third := append(append(bytes.Clone(one), two...), NewKeyText()...)
	for name, text := range map[string][]byte{
		"nothing": nil, "blank": []byte("\n\n"), "short": []byte("AAAA\n"), "no base64": []byte(strings.Repeat("!", 44)),
		"hex": []byte(strings.Repeat("ab", KeySize)), "a third": third, "blanks": append([]byte(" "), one...),
	} {
		if _, err := ParseKeys(text); !errors.Is(err, ErrKeyText) || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
