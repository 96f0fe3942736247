package xds

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares the resources of an output that are asked for with a file, and
// has Envoy judge all of them.
func golden(t *testing.T, name string, out *Output, keep func(Key) bool) {
	t.Helper()
	type entry struct {
		Type  string          `json:"type"`
		Name  string          `json:"name"`
		Needs []string        `json:"needs,omitempty"`
		Body  json.RawMessage `json:"body"`
	}
	var entries []any
	for _, r := range out.Resources {
		if !keep(r.Key) {
			continue
		}
		text, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		e := entry{Type: shortType(r.Type), Name: r.Name, Body: text}
		for _, key := range r.Needs {
			e.Needs = append(e.Needs, shortType(key.Type)+" "+key.Name)
		}
		entries = append(entries, e)
	}
	for _, p := range out.Problems {
		entries = append(entries, map[string]any{"problem": p.Text, "level": p.Level, "about": p.About})
	}
	got, err := json.MarshalIndent(entries, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run the test with -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is built now; look at the difference with -update and git diff:\n%s", file, firstDifference(want, got))
	}
	validate(t, out)
}

func shortType(t Type) string {
	text := string(t)
	return text[strings.LastIndexByte(text, '.')+1:]
}

// firstDifference are the first lines that differ, with some around them.
func firstDifference(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	part := func(lines []string) string {
		return strings.Join(lines[min(max(i-2, 0), len(lines)):min(i+6, len(lines))], "\n")
	}
	return "want\n" + part(w) + "\ngot\n" + part(g)
}

// only keeps resources whose type and name are listed, "Cluster local:web"; a star
// ends a name that begins so.
func only(names ...string) func(Key) bool {
	return func(k Key) bool {
		text := shortType(k.Type) + " " + k.Name
		for _, name := range names {
			start, prefix := strings.CutSuffix(name, "*")
			if text == name || prefix && strings.HasPrefix(text, start) {
				return true
			}
		}
		return false
	}
}
