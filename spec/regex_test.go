package spec

import (
	"fmt"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

// TestRegexPlaces: the mistakes of regular expressions, with their places.
func TestRegexPlaces(t *testing.T) {
	for text, want := range map[string]string{
		`/v[0-9]+/.*`: "", `(a|b)*`: "", `[]a]`: "", `[^]]`: "", `\(?=x`: "", `[(?=]`: "", `\d+`: "", `(?i)a`: "", `a{1000}`: "",
		`a(?=b)`: "1-4", `a(?!b)`: "1-4", `(?<=a)b`: "0-4", `(a)\1`: "3-5", `(?>a)`: "0-3", `a(b`: "1-2", `a)`: "0-2", `*`: "0-1", `a**`: "1-3", `[a-`: "0-3", `a\`: "1-2", `[z-a]`: "1-4", `\q`: "0-2", `a{2000}`: "1-7", ``: "0-0",
	} {
		got := ""
		if wrong := checkRegex(text); wrong != nil {
			got = fmt.Sprintf("%d-%d", wrong.from, wrong.to)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// What is not refused compiles, and what is has a place inside of it.
func TestRegexAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune(`ab(?=!<>P)[^]-*+{1,9}\\d.|é`))).Draw(t, "text")
		wrong := checkRegex(text)
		if wrong == nil {
			if _, err := regexp.Compile(text); err != nil {
				t.Fatal(err)
			}
		} else if wrong.from < 0 || wrong.from > wrong.to || wrong.to > len(text) {
			t.Fatalf("%q: %+v", text, wrong)
		}
	})
}
