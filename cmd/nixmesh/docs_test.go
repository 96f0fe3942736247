package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// TestDocsNameCommandsThatExist holds pages for people to the command tree.
func TestDocsNameCommandsThatExist(t *testing.T) {
	a := &app{stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}, getenv: func(string) string { return "" }, now: time.Now}
	root := newRootCmd(a)
	// The language has what they are for, and says that it does not act yet; the last
	// one only units start, before there is a tree.
	others := []string{"mesh shift", "mesh forward", "mesh explain", "host check-exec"}
	// As it is typed: in quotes of code, after a prompt, or at the beginning of a line.
	typed := regexp.MustCompile("(?:`|^\\$ |^ +|; next: )nixmesh ((?:--lab |-C [^ ]+ )?[a-z][a-z -]*)")
	found := 0
	for _, place := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs", "lab/README.md", "rollback/DESIGN.md", "hosts", "spec/explain"} {
		err := filepath.WalkDir(filepath.Join("..", "..", place), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for i, line := range strings.Split(string(text), "\n") {
				for _, m := range typed.FindAllStringSubmatch(line, -1) {
					found++
					if missing := missingCommand(root, strings.Fields(m[1])); missing != "" && !slices.Contains(others, missing) {
						t.Errorf("%s:%d: there is no command nixmesh %s", path, i+1, missing)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 150 {
		t.Errorf("only %d commands were found", found)
	}
}

// missingCommand is the command that words are not, "" where they are one.
func missingCommand(c *cobra.Command, words []string) string {
	switch words[0] {
	case "--lab":
		words = words[1:]
	case "-C":
		words = words[2:]
	}
	for i, word := range words {
		at := slices.IndexFunc(c.Commands(), func(sub *cobra.Command) bool { return sub.Name() == word })
		if at < 0 && c.HasSubCommands() && !strings.HasPrefix(word, "-") {
			return strings.Join(words[:i+1], " ")
		}
		if at < 0 {
			return ""
		}
		c = c.Commands()[at]
	}
	return ""
}
