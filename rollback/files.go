package rollback

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// errLocked is what Lock answers when it may not wait and another holds it.
var errLocked = errors.New("lock is held")

// FileReader reads. Names are absolute; links are followed, but by Readlink.
type FileReader interface {
	// ReadFile returns a file's content; fs.ErrNotExist where there is none.
	ReadFile(name string) ([]byte, error)
	// ReadDir returns the names in a folder, sorted; fs.ErrNotExist too.
	ReadDir(name string) ([]string, error)
	// Readlink returns a link's target as it is written.
	Readlink(name string) (string, error)
	// Stat describes a file or folder; fs.ErrNotExist too.
	Stat(name string) (FileInfo, error)
}

// FileWriter writes. Nothing is on the disk before Sync: of the file for its
// content, of its folder for its name.
type FileWriter interface {
	// Write creates or truncates a file and writes data.
	Write(name string, data []byte, perm fs.FileMode) error
	// Sync makes a file's content or a folder's names survive a power cut.
	Sync(name string) error
	// Rename replaces to by from, atomically.
	Rename(from, to string) error
	// Symlink makes the link name; an existing name is an error.
	Symlink(target, name string) error
	// Remove removes a file, link or empty folder; absent is no error.
	Remove(name string) error
}

// Volume is what a file system can do as a whole.
type Volume interface {
	// MkdirAll makes a folder and its parents; existing ones are no error.
	MkdirAll(name string, perm fs.FileMode) error
	// SyncAll writes out the whole file system that holds name (syncfs).
	SyncAll(name string) error
	// Free returns the free and all bytes of the file system that holds name.
	Free(name string) (free, size int64, err error)
	// Reserve makes a file that takes size bytes of its file system.
	Reserve(name string, size int64) error
	// Lock takes an exclusive flock on name, which is created. Without wait a
	// held lock is errLocked.
	Lock(name string, wait bool) (unlock func(), err error)
}

// FileSystem is the host's files. The power-cut test has one that records
// every write, sync and rename and replays each prefix of them.
type FileSystem interface {
	FileReader
	FileWriter
	Volume
}

// FileInfo is what the protocol asks about a file.
type FileInfo struct {
	Size       int64
	Dir        bool
	Executable bool
}

// writeDurable replaces a file so that after a power cut at any moment it is
// the old or the new content, whole: temporary file beside it, fsync, rename,
// fsync of the folder.
func writeDurable(f FileSystem, name string, data []byte) error {
	tmp := name + ".new"
	if err := f.Write(tmp, data, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	if err := f.Sync(tmp); err != nil {
		return fmt.Errorf("sync %s: %w", tmp, err)
	}
	if err := f.Rename(tmp, name); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	if err := f.Sync(path.Dir(name)); err != nil {
		return fmt.Errorf("sync folder of %s: %w", name, err)
	}
	return nil
}

// writeVolatile replaces a file below /run: whole for every reader, gone with
// the boot, so nothing is synced.
func writeVolatile(f FileSystem, name string, data []byte) error {
	tmp := name + ".new"
	if err := f.Write(tmp, data, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", tmp, err)
	}
	if err := f.Rename(tmp, name); err != nil {
		return fmt.Errorf("replace %s: %w", name, err)
	}
	return nil
}

// exists says whether a file or folder is there, links followed.
func exists(f FileReader, name string) bool {
	_, err := f.Stat(name)
	return err == nil
}
