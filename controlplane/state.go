package controlplane

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// Files of the state folder. Names end in the number of their schema: a release
// with another one leaves these files alone, and this one leaves those alone.
const (
	fileEpoch    = "epoch.v1"   // how often the catalog of this host began anew
	fileDocument = "mesh.v1"    // the document in force
	fileCatalog  = "catalog.v1" // what was known of the fleet
	fileNodes    = "nodes.v1"   // the newest node certificate of each host
	filePoison   = "poison.v1"  // a version of nixmesh, and hashes of what made it fail
	fileRun      = "run.v1"     // the boot of the machine, and hosts that counted as down
	fileTrying   = "trying.v1"  // what this agent is about to take, or took just now
	dirDocuments = "documents"
	dirCerts     = "certs"
	dirAuthority = "authority"
)

const (
	corrupt = ".corrupt" // ends the name of a file that could not be read
	tmpFile = ".new-*"   // is a file that is being written
)

// files are the agent's state folder. What cannot be read is set aside and is a
// problem, never an end; what cannot be written is kept in memory and written
// when that works again.
type files struct {
	dir      string
	problems *problems
	logger   *slog.Logger

	mu      sync.Mutex        // guards what follows, and writing
	waiting map[string][]byte // what could not be written yet, sealed, by name
	writes  uint64
	errors  uint64
}

func openFiles(dir string, p *problems, logger *slog.Logger) *files {
	f := &files{dir: dir, problems: p, logger: logger, waiting: map[string][]byte{}}
	for _, name := range []string{"", dirDocuments} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			f.failed("folder", fmt.Errorf("make state folder: %w", err))
			continue
		}
		sweep(path)
	}
	return f
}

// sweep removes what a process left that ended while it wrote.
func sweep(dir string) {
	stale, _ := filepath.Glob(filepath.Join(dir, tmpFile)) // the pattern is a good one
	for _, name := range stale {
		_ = os.Remove(name) // it is in nobody's way
	}
}

func (f *files) failed(key string, err error) {
	f.logger.Error("state not kept", "err", err)
	f.problems.set(statePrefix+key, err.Error(), "df -h "+f.dir)
}

// statePrefix begins the keys of problems that are over once files can be written.
const statePrefix = "state "

// errDamaged is a file that is not what was written.
var errDamaged = errors.New("it is damaged")

// seal puts the content's sum before it, so that a file that was cut off or
// changed is never taken for another one.
func seal(content []byte) []byte {
	return append([]byte(hashOf(content)+"\n"), content...)
}

const sealSize = 2*sha256.Size + 1

func unseal(sealed []byte) ([]byte, error) {
	if len(sealed) < sealSize {
		return nil, errDamaged
	}
	content := sealed[sealSize:]
	if string(sealed[:sealSize]) != hashOf(content)+"\n" {
		return nil, errDamaged
	}
	return content, nil
}

// read is a file's content, nil when there is none. One that cannot be read now
// is a problem, and may be a good one; what is damaged is set aside.
func (f *files) read(name string, most int64) []byte {
	content, err := readSealed(filepath.Join(f.dir, name), most)
	switch {
	case err == nil:
		return content
	case errors.Is(err, errDamaged):
		f.setAside(name, err)
	case !errors.Is(err, fs.ErrNotExist):
		f.failed("read "+name, err)
	}
	return nil
}

// there says whether there is a file, whatever it holds.
func (f *files) there(name string) bool {
	_, err := os.Lstat(filepath.Join(f.dir, name))
	return !errors.Is(err, fs.ErrNotExist)
}

// readSealed reads what was sealed, of at most some bytes; errDamaged is that it was
// not, or was changed.
func readSealed(path string, most int64) ([]byte, error) {
	sealed, err := readFile(path, most+sealSize)
	if err != nil {
		return nil, err
	}
	return unseal(sealed)
}

// readFile reads a file of at most some bytes; more is damage.
func readFile(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("%w: it has more than %d bytes", errDamaged, most)
	}
	return content, err
}

// setAside renames a file that cannot be understood to NAME.corrupt, in the place
// of an earlier one, and says so.
func (f *files) setAside(name string, why error) {
	f.logger.Error("state file set aside", "file", name, "err", why)
	if err := os.Rename(filepath.Join(f.dir, name), filepath.Join(f.dir, name+corrupt)); err != nil {
		why = errors.Join(why, err)
	}
	f.problems.set("corrupt "+name, fmt.Sprintf("%s could not be understood (%v); it is kept as %s, and its content comes from the other hosts again",
		name, why, name+corrupt), "ls -l "+filepath.Join(f.dir, name+corrupt))
}

// save writes a file whole or not at all. Where that does not work the content
// waits for retry.
func (f *files) save(name string, content []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	content = seal(content)
	err := writeFile(filepath.Join(f.dir, name), content)
	if err != nil {
		f.errors++
		f.waiting[name] = content
		f.failed("write", err)
		return
	}
	f.writes++
	delete(f.waiting, name)
	f.written()
}

// jot writes a file that is to outlive this process, and not the machine's boot:
// nobody waits for the disk. A power cut may leave it empty.
func (f *files) jot(name string, content []byte) {
	if err := replaceFile(filepath.Join(f.dir, name), seal(content), func(*os.File) error { return nil }); err != nil {
		f.failed("write", err)
	}
}

// counts are the files that were written since the start, and that were not.
func (f *files) counts() (writes, failed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes, f.errors
}

// written is called when a file was written. mu is held.
func (f *files) written() {
	if len(f.waiting) == 0 {
		f.problems.clearAll(statePrefix)
	}
}

// retry writes what could not be written before.
func (f *files) retry() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, content := range f.waiting {
		path := filepath.Join(f.dir, name)
		if os.MkdirAll(filepath.Dir(path), 0o700) != nil || writeFile(path, content) != nil {
			return
		}
		delete(f.waiting, name)
	}
	f.written()
}

// remove removes a file, written or not.
func (f *files) remove(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiting, name)
	if err := os.Remove(filepath.Join(f.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.logger.Warn("state file not removed", "file", name, "err", err)
	}
}

// writeFile writes a file (0600): temporary file, sync, rename, sync of the folder.
func writeFile(path string, content []byte) error {
	if err := replaceFile(path, content, (*os.File).Sync); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err == nil {
		defer folder.Close()
		err = folder.Sync()
	}
	if err != nil {
		return fmt.Errorf("sync %s: %w", filepath.Dir(path), err)
	}
	return nil
}

// replaceFile writes a temporary file, settles it and renames it.
func replaceFile(path string, content []byte, settle func(*os.File) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), tmpFile) // 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(content)
	if err == nil {
		err = settle(tmp)
	}
	if e := tmp.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
