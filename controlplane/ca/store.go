package ca

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Store keeps small files that only the agent may read, each whole or not at
// all. Names end in the number of their schema, "svc-api.v1", so that releases
// before and after a change of schema leave each other's files alone.
type Store interface {
	// Names are the names of what is kept, sorted.
	Names() ([]string, error)
	// Load reads a file; fs.ErrNotExist is that there is none.
	Load(name string) ([]byte, error)
	// Save writes a file, in the place of the one before.
	Save(name string, content []byte) error
	// Remove removes a file. It is no error that there is none.
	Remove(name string) error
	// SetAside renames a file that cannot be read, for a person to look at.
	// The one set aside before under that name is lost.
	SetAside(name string) error
}

// maxFile bounds a file, in bytes.
const maxFile = 8 << 20

// aside is what the name of a file that was set aside ends in.
const aside = ".corrupt"

var fileName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,60}\.v[0-9]{1,4}$`)

// Dir is a Store in a folder.
type Dir struct{ path string }

var _ Store = Dir{}

// OpenDir opens a folder. After an error it is a store that keeps nothing until
// Open does.
func OpenDir(path string) (Dir, error) {
	d := Dir{path}
	return d, d.Open()
}

// Open makes the folder where there is none (0700), and removes what a power cut
// left of a file that was being written.
func (d Dir) Open() error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return fmt.Errorf("open certificate store: %w", err)
	}
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("open certificate store: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".new-") {
			_ = os.Remove(filepath.Join(d.path, e.Name())) // it is in nobody's way
		}
	}
	return nil
}

// Names are the files with a name of the store's own.
func (d Dir) Names() ([]string, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && fileName.MatchString(e.Name()) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Load reads a file.
func (d Dir) Load(name string) ([]byte, error) {
	path, err := d.file(name)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(content) > maxFile {
		err = errors.New("the file is too large")
	}
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", name, err)
	}
	return content, nil
}

// Save writes a file (0600): temporary file, sync, rename, sync of the folder.
func (d Dir) Save(name string, content []byte) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(d.path, ".new-*") // 0600
	if err != nil {
		return fmt.Errorf("save %s: %w", name, err)
	}
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("save %s: %w", name, err)
	}
	return d.sync()
}

// Remove removes a file.
func (d Dir) Remove(name string) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return d.sync()
}

// SetAside renames a file to NAME.corrupt.
func (d Dir) SetAside(name string) error {
	path, err := d.file(name)
	if err != nil {
		return err
	}
	if err := os.Rename(path, path+aside); err != nil {
		return fmt.Errorf("set %s aside: %w", name, err)
	}
	return d.sync()
}

func (d Dir) file(name string) (string, error) {
	if !fileName.MatchString(name) {
		return "", fmt.Errorf("%.80q is no name of a kept file", name)
	}
	return filepath.Join(d.path, name), nil
}

func (d Dir) sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return fmt.Errorf("sync certificate store: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync certificate store: %w", err)
	}
	return nil
}
