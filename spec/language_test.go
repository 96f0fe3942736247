package spec

import (
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestLanguagePageIsWhole holds the hand-written half of the page to the code:
// functions, given variables, conditions of retries and types are all told.
func TestLanguagePageIsWhole(t *testing.T) {
	for _, name := range functionNames() {
		if !strings.Contains(languagePage, "`"+name+"(") {
			t.Errorf("the page does not tell of the function %s", name)
		}
	}
	for _, name := range regexp.MustCompile("(?m)^\\| .*`([a-z0-9]+)\\(.*`").FindAllStringSubmatch(languagePage, -1) {
		if _, known := functions("")[name[1]]; !known {
			t.Errorf("the page tells of the function %s, which there is not", name[1])
		}
	}
	for _, name := range givenVariables(&Service{Listens: []*Listen{{}}}) {
		if !strings.Contains(languagePage, "`"+name+"`") {
			t.Errorf("the page does not tell of the variable %s", name)
		}
	}
	for _, condition := range RetryConditions() {
		if !strings.Contains(languagePage, "`"+condition+"`") {
			t.Errorf("the page does not tell of the condition %s", condition)
		}
	}
	var walk func(s *blockSchema)
	walk = func(s *blockSchema) {
		for _, a := range s.list {
			inner := strings.Trim(string(a.typ), "[]{}")
			if a.typ != typeChoice && !strings.Contains(languagePage, "| `"+inner+"` |") && !strings.Contains("file or INPUT#nixosModules.X, file or {path, any, type", inner) {
				t.Errorf("the page does not tell of the type %s", a.typ)
			}
		}
		for _, in := range s.inner {
			walk(in)
		}
	}
	walk(grammar())
}

// TestLanguagePageExamples: the fleet at the top of the page is valid, with the
// service in JSON beside it.
func TestLanguagePageExamples(t *testing.T) {
	example := func(language string) []byte {
		_, after, _ := strings.Cut(languagePage, "```"+language+"\n")
		text, _, _ := strings.Cut(after, "```")
		return []byte(text)
	}
	fleet := strings.Replace(string(example("hcl")), "imports", "tags = [\"app\"]\n  imports", 1)
	asJSON := strings.Replace(string(example("json")), `"web":`, `"web2":`, 1)
	dir, _ := unpack(t, &txtar.Archive{Files: []txtar.File{
		{Name: rootFile, Data: []byte(fleet)},
		{Name: "services/web.hcl.json", Data: []byte(asJSON)},
		{Name: "hosts/app1.nix", Data: []byte("{ }\n")},
	}})
	l := Load(dir, Options{Version: "0.3.1"})
	for _, d := range l.Diagnostics {
		t.Error(d)
	}
	if l.Fleet != nil && len(l.Fleet.Services) != 2 {
		t.Errorf("got %d services, want 2", len(l.Fleet.Services))
	}
}
