package nix

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// folder is what a folder on disk should hold.
type folder struct {
	dir   string
	files map[string]content // slash-separated path -> content
}

// content is a text, or the copy of a file.
type content struct {
	text []byte
	from string
	exec bool // for a text
}

func newFolder(dir string) *folder { return &folder{dir: dir, files: map[string]content{}} }

func (f *folder) text(rel string, text []byte) { f.files[rel] = content{text: text} }

func (f *folder) copy(rel, from string) { f.files[rel] = content{from: from} }

// write makes the folder hold exactly the files wanted. A file that is right
// already is not touched, so that its time stays and nix's caches hit.
func (f *folder) write() error {
	for rel, c := range f.files {
		text, mode, err := c.read()
		if err != nil {
			return fmt.Errorf("write %s: %w", rel, err)
		}
		if err := writeIfDifferent(filepath.Join(f.dir, filepath.FromSlash(rel)), text, mode); err != nil {
			return fmt.Errorf("write %s: %w", rel, err)
		}
	}
	return f.prune()
}

func (c content) read() ([]byte, fs.FileMode, error) {
	if c.from == "" {
		if c.exec {
			return c.text, 0o755, nil
		}
		return c.text, 0o644, nil
	}
	info, err := os.Stat(c.from)
	if err != nil {
		return nil, 0, err
	}
	text, err := os.ReadFile(c.from)
	mode := fs.FileMode(0o644)
	if info.Mode().Perm()&0o100 != 0 {
		mode = 0o755
	}
	return text, mode, err
}

// prune removes files that are not wanted, and folders left empty.
func (f *folder) prune() error {
	var folders []string
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(f.dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			folders = append(folders, path)
			return nil
		}
		if _, ok := f.files[filepath.ToSlash(rel)]; ok {
			return nil
		}
		return os.Remove(path)
	})
	if err != nil {
		return fmt.Errorf("clean %s: %w", f.dir, err)
	}
	for i := len(folders) - 1; i > 0; i-- {
		_ = os.Remove(folders[i]) // refused by one that still holds files
	}
	return nil
}

// writeIfDifferent writes a file by renaming, if its content or mode differs.
func writeIfDifferent(path string, text []byte, mode fs.FileMode) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode() == mode && info.Size() == int64(len(text)) {
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
			return nil
		}
	}
	if err == nil && info.IsDir() {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := makeParent(path); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // after the rename there is nothing to remove
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(mode)
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// makeParent creates the folder of a file, also where a file stood before.
func makeParent(path string) error {
	dir := filepath.Dir(path)
	err := os.MkdirAll(dir, 0o755)
	var p *fs.PathError
	if err == nil || !errors.As(err, &p) {
		return err
	}
	if info, e := os.Lstat(p.Path); e != nil || info.IsDir() {
		return err
	}
	if err := os.Remove(p.Path); err != nil {
		return err
	}
	return os.MkdirAll(dir, 0o755)
}
