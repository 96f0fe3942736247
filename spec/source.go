package spec

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// rootFile marks a fleet's folder.
const rootFile = "nixmesh.hcl"

// isLab says whether a file is read with --lab only.
func isLab(name string) bool { return strings.TrimSuffix(name, ".json") == "lab.hcl" }

// maxFileSize bounds a file before it is parsed (NM0001).
const maxFileSize = 4 << 20

// errNoFolder is a search for a fleet that begins nowhere.
var errNoFolder = errors.New("there is no such folder")

// FindDir is the folder at or above dir that holds nixmesh.hcl, absolute and
// without symlinks. dir itself has to be there: one that is misspelled must not
// mean the fleet around it. It is an error wrapping fs.ErrNotExist if there is no
// nixmesh.hcl.
func FindDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find fleet: %w", err)
	}
	switch info, err := os.Stat(abs); {
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("find fleet: %w", err)
	case err != nil || !info.IsDir():
		return "", fmt.Errorf("find fleet: %s: %w", abs, errNoFolder)
	}
	for at := abs; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, rootFile)); err == nil {
			real, err := filepath.EvalSymlinks(at)
			if err != nil {
				return "", fmt.Errorf("find fleet: %w", err)
			}
			return real, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("find fleet: no %s in %s or above: %w", rootFile, abs, fs.ErrNotExist)
		}
	}
}

// noFleet says why FindDir found none.
func noFleet(dir string, err error, hint string) problem {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	p := problem{code: "NM0002", hint: hint}
	switch {
	case errors.Is(err, errNoFolder):
		p.detail = fmt.Sprintf("There is no folder %s.", dir)
	case errors.Is(err, fs.ErrNotExist):
		p.detail = fmt.Sprintf("There is no %s in %s or above.", rootFile, dir)
	default:
		p.detail = fmt.Sprintf("The fleet's folder cannot be found: %v.", err)
	}
	return p
}

// sources are the files of a fleet.
type sources struct {
	*sink
	dir   string            // absolute, without symlinks
	files map[string][]byte // by path below dir
	order []string          // in the order of reading
}

// load reads nixmesh.hcl, its neighbours, and all below hosts/ and services/.
func (s *sources) load(lab bool) {
	s.folder(".", false, map[string]bool{})
	for _, sub := range []string{"hosts", "services"} {
		if _, err := os.Lstat(filepath.Join(s.dir, sub)); err == nil {
			s.entry(sub, map[string]bool{})
		}
	}
	for name := range s.files {
		if isLab(name) && !lab {
			delete(s.files, name)
		}
	}
	slices.SortStableFunc(s.order, func(a, b string) int { // of two, the other file's is "the second"
		return cmp.Compare(rank(a), rank(b))
	})
}

func rank(name string) int {
	if name == rootFile {
		return 0
	}
	return 1
}

// folder reads the files of one folder, and with deep those below it. seen
// holds the real folders on the way, so that a loop of links ends.
func (s *sources) folder(rel string, deep bool, seen map[string]bool) {
	entries, err := os.ReadDir(filepath.Join(s.dir, rel))
	if err != nil {
		s.unreadable(rel, fmt.Sprintf("The folder cannot be read: %v.", err))
		return
	}
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case strings.HasSuffix(name, ".hcl"), strings.HasSuffix(name, ".hcl.json"):
			s.read(name)
		case deep && (e.IsDir() || e.Type()&fs.ModeSymlink != 0):
			s.entry(name, seen)
		}
	}
}

// entry goes into a folder, or a link to one, below hosts/ or services/.
func (s *sources) entry(rel string, seen map[string]bool) {
	real, err := s.inside(rel)
	if err != nil {
		s.unreadablePath(rel, err)
		return
	}
	info, err := os.Stat(real)
	if err != nil || !info.IsDir() {
		return
	}
	if seen[real] {
		s.unreadablePath(rel, errLoop)
		return
	}
	seen[real] = true
	s.folder(rel, true, seen)
	delete(seen, real)
}

// read takes one file in, once it is known to be small and regular.
func (s *sources) read(rel string) {
	real, err := s.inside(rel)
	if err != nil {
		s.unreadablePath(rel, err)
		return
	}
	info, err := os.Stat(real)
	if err != nil || !info.Mode().IsRegular() {
		s.unreadable(rel, "It is not a regular file.")
		return
	}
	f, err := os.Open(real)
	if err != nil {
		s.unreadable(rel, fmt.Sprintf("It cannot be opened: %v.", errors.Unwrap(err)))
		return
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileSize+1))
	if err != nil {
		s.unreadable(rel, fmt.Sprintf("It cannot be read: %v.", err))
		return
	}
	s.files[rel] = text
	s.order = append(s.order, rel)
}

var (
	errOutside = errors.New("leaves the fleet's folder")
	errLoop    = errors.New("is a loop of links")
)

// inside is the real path of rel, which has to stay in the fleet's folder.
// Errors are errOutside, errLoop, or wrap fs.ErrNotExist.
func (s *sources) inside(rel string) (string, error) { return insideDir(s.dir, rel) }

func insideDir(dir, rel string) (string, error) {
	if filepath.IsAbs(rel) || !filepath.IsLocal(filepath.Clean(rel)) || strings.ContainsRune(rel, 0) {
		return "", errOutside
	}
	real, err := filepath.EvalSymlinks(filepath.Join(dir, rel))
	switch {
	case err == nil && (real == dir || strings.HasPrefix(real, dir+string(filepath.Separator))):
		return real, nil
	case err == nil:
		return "", errOutside
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		return "", err
	default: // EvalSymlinks has no error of its own for "too many links"
		return "", errLoop
	}
}

func (s *sources) unreadable(rel, detail string) {
	s.add(problem{code: "NM0001", rng: fileStart(rel), detail: detail})
}

func (s *sources) unreadablePath(rel string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("points to nothing")
	}
	s.add(problem{code: "NM0005", rng: fileStart(rel), detail: fmt.Sprintf("%s %v.", rel, err),
		hint: "put a real file or folder there, or delete the link"})
}

// fileStart is the range of a diagnostic about a whole file.
func fileStart(rel string) hcl.Range {
	start := hcl.Pos{Line: 1, Column: 1}
	return hcl.Range{Filename: rel, Start: start, End: start}
}
