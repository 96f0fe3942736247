package unseal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// set is a folder of secrets in the making, beside the one that is in use.
type set struct {
	current string // in use
	next    string // being made; after publish the one that was in use
}

// newSet begins an empty set. What a broken-off run left is removed.
func newSet(mount string) (*set, error) {
	s := &set{
		current: filepath.Join(mount, filepath.Base(hostfacts.SecretsDir)),
		next:    filepath.Join(mount, "next"),
	}
	if err := os.RemoveAll(s.next); err != nil {
		return nil, fmt.Errorf("make folder of secrets: %w", err)
	}
	if err := os.Mkdir(s.next, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of secrets: %w", err)
	}
	return s, nil
}

// write adds a file, for root to read and, unless it is 0, for one user. He gets
// as far as his own file: folders on the way are opened for passing only.
func (s *set) write(name string, text []byte, reader int) error {
	file := filepath.Join(s.next, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	if reader != 0 {
		if err := s.pass(filepath.Dir(file)); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil && reader != 0 {
		err = f.Chown(reader, -1)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// pass lets users pass the folders from the set's mount to one of its own. What is
// in them is seen by none of them.
func (s *set) pass(dir string) error {
	for mount := filepath.Dir(s.next); ; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil || dir == mount {
			return err
		}
	}
}

// publish puts the set in the place of the one in use, in one step, and
// removes that one.
func (s *set) publish() error {
	err := unix.Renameat2(unix.AT_FDCWD, s.next, unix.AT_FDCWD, s.current, unix.RENAME_EXCHANGE)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.Rename(s.next, s.current)
	}
	if err != nil {
		return fmt.Errorf("replace secrets: %w", err)
	}
	if err := os.RemoveAll(s.next); err != nil {
		return fmt.Errorf("remove old secrets: %w", err)
	}
	return nil
}
