package spec

import (
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

// TestFullSamplesHoldTheGrammar keeps the valid_*.txtar samples complete: each
// argument of the schema table stands in one of them, and is read by the decoder.
func TestFullSamplesHoldTheGrammar(t *testing.T) {
	samples, err := filepath.Glob("testdata/check/valid*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]bool{} // without labels and numbers: "service.check.every"
	labels := regexp.MustCompile(`^(host|service|operator|gateway|external|variable)\.[^.]+|\[\d+\]`)
	inner := regexp.MustCompile(`\.(version|upstream|auth)\.[^.]+`)
	for _, sample := range samples {
		archive, err := txtar.ParseFile(sample)
		if err != nil {
			t.Fatal(err)
		}
		dir, _ := unpack(t, archive)
		l := Load(dir, Options{Version: "0.4.0"})
		for path := range l.written {
			read[inner.ReplaceAllString(labels.ReplaceAllString(path, "$1"), ".$1")] = true
		}
	}
	var walk func(path string, s *blockSchema)
	walk = func(path string, s *blockSchema) {
		for _, a := range s.list {
			if !read[path+a.name] {
				t.Errorf("%s%s is not in a sample, or not read", path, a.name)
			}
			if a.example == "" {
				t.Errorf("%s%s has no example", path, a.name)
			}
			if a.doc == "" {
				t.Errorf("%s%s has no words for the reference", path, a.name)
			}
		}
		for _, in := range s.inner {
			walk(path+in.kind+".", in)
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
