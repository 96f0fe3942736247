package nix

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// MaterializeNixmesh writes what the closures take of nixmesh itself into a
// folder: modules/ from the embedded files, bin/nixmesh from an executable,
// and extra files or folders (path in the folder -> path on disk). Only what
// differs is written; what does not belong there is removed. The hash is the
// folder's, which the flake pins.
func MaterializeNixmesh(dir string, modules fs.FS, executable string, extra map[string]string) (NixmeshTree, error) {
	want := newFolder(dir)
	err := fs.WalkDir(modules, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".nix") {
			return err
		}
		text, err := fs.ReadFile(modules, p)
		if err != nil {
			return err
		}
		want.text("modules/"+strings.TrimPrefix(p, "modules/"), text)
		return nil
	})
	if err != nil {
		return NixmeshTree{}, fmt.Errorf("read embedded modules: %w", err)
	}
	want.copy("bin/nixmesh", executable)
	for to, from := range extra {
		if err := want.copyAll(to, from); err != nil {
			return NixmeshTree{}, fmt.Errorf("add %s: %w", to, err)
		}
	}
	if err := want.write(); err != nil {
		return NixmeshTree{}, err
	}
	hash, err := HashPath(dir)
	if err != nil {
		return NixmeshTree{}, err
	}
	return NixmeshTree{Dir: dir, NarHash: hash}, nil
}

// copyAll wants a file, or each file of a folder.
func (f *folder) copyAll(to, from string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if rel == "." {
			f.copy(to, p)
		} else {
			f.copy(to+"/"+filepath.ToSlash(rel), p)
		}
		return nil
	})
}

// WriteShim makes the folder whose `ssh` is nixmesh, for Tool.ShimDir.
func WriteShim(dir, executable string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make shim folder: %w", err)
	}
	link := filepath.Join(dir, "ssh")
	if old, err := os.Readlink(link); err == nil && old == executable {
		return nil
	}
	tmp := fmt.Sprintf("%s.%d", link, os.Getpid())
	if err := os.Symlink(executable, tmp); err != nil {
		return fmt.Errorf("make ssh for nix: %w", err)
	}
	if err := os.Rename(tmp, link); err != nil {
		return fmt.Errorf("make ssh for nix: %w", err)
	}
	return nil
}
