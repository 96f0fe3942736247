package nix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// gitTimeout bounds `git ls-files`.
const gitTimeout = 30 * time.Second

// allowed are the files of the fleet's folder that may enter the store.
type allowed struct {
	dir   string
	files map[string]string // slash-separated, below dir -> the file on disk
	git   bool              // git's list, not a walk
}

// tree is a set of files below the fleet's folder: name -> the file on disk.
type tree map[string]string

// listAllowed lists what may enter: what git knows or would add, where there
// is git, else everything; without what is ours, secret or configuration.
func listAllowed(ctx context.Context, dir string) (*allowed, error) {
	a := &allowed{dir: dir, files: map[string]string{}}
	names, err := gitFiles(ctx, dir)
	if errors.Is(err, errNoGit) {
		names, err = walkFiles(dir)
	} else {
		a.git = true
	}
	if err != nil {
		return nil, fmt.Errorf("list files of %s: %w", dir, err)
	}
	for _, n := range names {
		if excluded(n) {
			continue
		}
		if a.plain(n) {
			a.files[n] = filepath.Join(dir, filepath.FromSlash(n))
		}
	}
	return a, nil
}

// plain says whether a name is a file to copy. A tracked file may be deleted,
// a submodule is a folder, and a link counts as the file that it leads to only
// where that file could enter by its own name: a link out of the folder would
// publish somebody's private file.
func (a *allowed) plain(name string) bool {
	path := filepath.Join(a.dir, filepath.FromSlash(name))
	info, err := os.Lstat(path)
	if err != nil || info.Mode().IsRegular() {
		return err == nil
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return false
	}
	root, err := filepath.EvalSymlinks(a.dir)
	if err != nil {
		return false
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(root, target)
	if err != nil || !filepath.IsLocal(rel) || excluded(filepath.ToSlash(rel)) {
		return false
	}
	info, err = os.Stat(target)
	return err == nil && info.Mode().IsRegular()
}

// excluded says what never enters, whatever git says.
func excluded(name string) bool {
	parts := strings.Split(name, "/")
	for _, p := range parts {
		if p == ".nixmesh" || p == ".git" || strings.HasPrefix(p, ".env") {
			return true
		}
	}
	base := path.Base(name)
	if strings.HasSuffix(base, ".hcl") {
		return true
	}
	return strings.HasSuffix(base, ".key") && len(parts) > 1 && parts[len(parts)-2] == "secrets"
}

var errNoGit = errors.New("no git here")

// gitFiles lists tracked files and those that are neither tracked nor ignored.
// Nothing that a repository configures is run.
func gitFiles(ctx context.Context, dir string) ([]string, error) {
	git, err := exec.LookPath("git")
	if err != nil || !insideGit(dir) {
		return nil, errNoGit
	}
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, git, "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-C", dir,
		"ls-files", "-z", "--cached", "--others", "--exclude-standard")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run git ls-files: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 }), nil
}

func insideGit(dir string) bool {
	for {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return false
		}
		dir = up
	}
}

func walkFiles(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel != "." && excluded(rel) {
				return fs.SkipDir
			}
			return nil
		}
		names = append(names, rel)
		return nil
	})
	return names, err
}

// replacing is the same folder with other files in the place of some, which
// need not be there.
func (a *allowed) replacing(files map[string]string) *allowed {
	if len(files) == 0 {
		return a
	}
	b := *a
	b.files = maps.Clone(a.files)
	maps.Copy(b.files, files)
	return &b
}

// all is the whole folder.
func (a *allowed) all() tree {
	return tree(maps.Clone(a.files))
}

// below lists the allowed files of a folder; "." is the whole.
func (a *allowed) below(dir string) []string {
	var out []string
	for f := range a.files {
		if dir == "." || strings.HasPrefix(f, dir+"/") {
			out = append(out, f)
		}
	}
	return out
}
