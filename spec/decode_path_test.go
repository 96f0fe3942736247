package spec

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNormalised: the form in which Envoy compares paths.
func TestNormalised(t *testing.T) {
	for text, want := range map[string]string{
		"/": "/", "": "/", "/a": "/a", "/a/": "/a/", "a": "/a", "//a//b/": "/a/b/", "/a/./b/../c": "/a/c", "/a/..": "/", "/a/b/..": "/a/",
		"/a%2Fb": "/a/b", "/%7euser": "/~user", "/a%3Db": "/a%3Db", "/grüß": "/gr%C3%BC%C3%9F", "/100%": "/100%25", `/a\b`: "/a/b", "/a b": "/a%20b", "/%2e%2e/a": "/a", "/x%": "/x%25",
	} {
		if got := normalised(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if again := normalised(want); again != want {
			t.Errorf("%q is not its own normal form: %q", want, again)
		}
	}
}

// Every text has one normal form, which is absolute and its own.
func TestNormalisedAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune(`a./\\%25fFé~ *?#`))).Draw(t, "text")
		once := normalised(text)
		if !strings.HasPrefix(once, "/") || strings.Contains(once, "//") || normalised(once) != once {
			t.Fatalf("%q: %q, then %q", text, once, normalised(once))
		}
	})
}
