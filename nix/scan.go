package nix

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// scan collects the roots and, from each .nix file on, every path literal that
// exists below the fleet's folder; a literal that is a folder takes all of it.
// Strings and comments are not told apart from code: too many files is fine,
// one too few is an evaluation error.
func (a *allowed) scan(roots []string) (tree, error) {
	s := scanner{allowed: a, tree: tree{}, literal: regexp.MustCompile(`[A-Za-z0-9._+-]*(?:/[A-Za-z0-9._+-]+)*/?`)}
	for _, r := range roots {
		if !s.take(path.Clean(r)) {
			return nil, a.whyNot(r)
		}
	}
	for len(s.todo) > 0 {
		file := s.todo[len(s.todo)-1]
		s.todo = s.todo[:len(s.todo)-1]
		if err := s.read(file); err != nil {
			return nil, err
		}
	}
	return s.tree, nil
}

type scanner struct {
	*allowed
	tree    tree
	todo    []string // .nix files not read yet
	literal *regexp.Regexp
}

// take adds a file, or all of a folder; false = there is nothing allowed.
func (s *scanner) take(name string) bool {
	files := []string{name}
	if s.files[name] == "" {
		files = s.below(name)
	}
	for _, f := range files {
		if s.tree[f] != "" {
			continue
		}
		s.tree[f] = s.files[f]
		if strings.HasSuffix(f, ".nix") {
			s.todo = append(s.todo, f)
		}
	}
	return len(files) > 0
}

func (s *scanner) read(file string) error {
	text, err := os.ReadFile(s.tree[file])
	if err != nil {
		return fmt.Errorf("scan %s: %w", file, err)
	}
	for _, at := range s.literal.FindAllIndex(text, -1) {
		word := string(text[at[0]:at[1]])
		if !strings.Contains(word, "/") || strings.HasPrefix(word, "/") {
			continue
		}
		// A folder with a slash at the end is a path only before ${…}.
		if strings.HasSuffix(word, "/") && !strings.HasPrefix(string(text[at[1]:]), "${") {
			continue
		}
		target := path.Join(path.Dir(file), word)
		if target == ".." || strings.HasPrefix(target, "../") {
			continue // outside the fleet's folder: pure evaluation refuses it
		}
		s.take(target)
	}
	return nil
}

// whyNot explains a root that cannot enter.
func (a *allowed) whyNot(root string) error {
	full := filepath.Join(a.dir, filepath.FromSlash(root))
	if _, err := os.Stat(full); err != nil {
		return fmt.Errorf("import %s: %w", root, err)
	}
	if excluded(root) {
		return &RefusedError{File: root, What: "a file of this name never enters the world-readable Nix store"}
	}
	if a.git {
		return &RefusedError{File: root, What: "git ignores it, so it does not enter the world-readable Nix store"}
	}
	return &RefusedError{File: root, What: "it is no plain file"}
}
