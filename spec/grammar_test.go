package spec

import (
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

// TestFullSampleHoldsTheGrammar keeps valid_full.txtar complete: each argument
// of the schema table stands in it, and is read by the decoder.
func TestFullSampleHoldsTheGrammar(t *testing.T) {
	archive, err := txtar.ParseFile("testdata/check/valid_full.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir, _ := unpack(t, archive)
	l := Load(dir, Options{Version: "0.4.0"})
	read := map[string]bool{} // without labels and numbers: "service.check.every"
	for path := range l.written {
		read[regexp.MustCompile(`^(host|service|operator)\.[^.]+|\[\d+\]`).ReplaceAllString(path, "$1")] = true
	}
	var walk func(path string, s *blockSchema)
	walk = func(path string, s *blockSchema) {
		for name, arg := range s.args {
			if !arg.later && !read[path+name] {
				t.Errorf("%s%s is not in the sample, or not read", path, name)
			}
			if !arg.later && arg.example == "" {
				t.Errorf("%s%s has no example", path, name)
			}
		}
		for name, inner := range s.blocks {
			if !inner.later {
				walk(path+name+".", inner)
			}
		}
	}
	walk("", grammar())
}

// Words in quotes come through as they are, whatever they hold.
func TestSplitQuoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOfN(rapid.StringOf(rapid.RuneFrom([]rune(`ab $"\|&;<>(){}*é`+"\n`"))), 1, 5).Draw(t, "words")
		line := ""
		for _, w := range words {
			line += " '" + w + "'"
		}
		got, err := splitCommand(line)
		if err != nil || len(got) != len(words) {
			t.Fatalf("%q: %v, %v", line, got, err)
		}
		for i, w := range words {
			text := ""
			for _, p := range got[i] {
				text += p.Text
			}
			if text != w {
				t.Fatalf("%q: word %d is %q", line, i, text)
			}
		}
	})
}

// Any text splits or is refused, with a place inside of it.
func TestSplitAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringOf(rapid.RuneFrom([]rune(`ab_1 $'"\|&{}()=%é`))).Draw(t, "line")
		words, err := splitCommand(line)
		if err == nil {
			err = firstWord(words[0])
		}
		if err != nil && (err.from < 0 || err.from > err.to || err.to > len(line)) {
			t.Fatalf("%q: %+v", line, err)
		}
	})
}

// TestSplitUTF8: a command is bytes; a letter of two stays what it was.
func TestSplitUTF8(t *testing.T) {
	words, err := splitCommand(`bin/grüß "straße é" é=ü`)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"bin/grüß", "straße é", "é=ü"} {
		if len(words[i]) != 1 || words[i][0].Text != want {
			t.Errorf("word %d: got %+v, want %q", i, words[i], want)
		}
	}
}
