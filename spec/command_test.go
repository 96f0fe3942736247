package spec

import (
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"
)

// reference is a piece of a command line with what it stands for.
type reference struct{ written, name, text string }

// drawReference draws "$NAME", "${NAME}", a quoted text or a plain one.
func drawReference(t *rapid.T, names []string) reference {
	name := rapid.SampledFrom(names).Draw(t, "name")
	text := rapid.StringMatching(`[a-z/.:=-]{1,4}`).Draw(t, "text")
	return rapid.SampledFrom([]reference{
		{"${" + name + "}", name, ""},
		{`"$` + name + `"`, name, ""},
		{"'$" + name + "'", "", "$" + name},
		{"$$", "", "$"},
		{text, "", text},
		{`"` + text + ` %"`, "", text + " %"},
	}).Draw(t, "reference")
}

// Whatever a command names comes through as a reference, in its place, and each
// name that it does not get is told once for each time it stands there.
func TestCommandNames(t *testing.T) {
	s := &Service{Env: map[string]string{"LEVEL": ""}, Secrets: map[string]*Secret{"DB": {}, "KEY": {}}, SecretEnv: []string{"KEY"}}
	known := []string{"LEVEL", "DB_FILE", "KEY", "KEY_FILE", "NIXMESH_VERSION", "STATE_DIRECTORY"}
	unknown := []string{"DB", "level", "KEY_FILE_", "PORT"}
	rapid.Check(t, func(t *rapid.T) {
		line, want := "bin/run", [][]Part{{{Text: "bin/run"}}}
		var missing []string
		for range rapid.IntRange(0, 5).Draw(t, "words") {
			line += " "
			word := []Part{}
			for range rapid.IntRange(1, 4).Draw(t, "pieces") {
				r := drawReference(t, append(slices.Clone(known), unknown...))
				line += r.written
				if slices.Contains(unknown, r.name) {
					missing = append(missing, r.name)
				}
				if n := len(word) - 1; r.name == "" && n >= 0 && word[n].Var == "" {
					word[n].Text += r.text
				} else {
					word = append(word, Part{Text: r.text, Var: r.name})
				}
			}
			want = append(want, word)
		}
		d := &decoder{evaluator: &evaluator{sink: newSink()}}
		names := d.commandNames(s, &block{})
		c := d.asCommand(item{value: cty.StringVal(line), a: &attr{name: "exec"}, name: "exec"}, names)
		if c == nil || !slices.EqualFunc(c.Words, want, slices.Equal[[]Part]) {
			t.Fatalf("%s\ngot  %v\nwant %v\n%v", line, c, want, d.found)
		}
		if len(d.found) != len(missing) {
			t.Fatalf("%s\ntold %v\nwant %v", line, d.found, missing)
		}
		for i, name := range missing {
			if d.found[i].Code != "NM0303" || !strings.Contains(d.found[i].Detail, "$"+name+" ") {
				t.Fatalf("%s\ntold %v\nwant %v", line, d.found[i], name)
			}
		}
	})
}
