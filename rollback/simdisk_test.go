package rollback

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
)

// powerCut is what the disk panics with when its time has come.
type powerCut struct{}

// simDisk is a file system in memory that knows what a power cut would leave.
// A name is on the disk after a sync of its folder, content after a sync of
// its file; below /run nothing ever is.
type simDisk struct {
	names   map[string]*simFile // what processes see
	durable map[string]*simFile // names that survive
	ops     int                 // changes and syncs so far
	cutAt   int                 // the power is cut instead of this change; 0 = never
	locked  map[string]bool
	hookAt  int    // before this change, hook is called
	hook    func() // a fault of the disk
	full    bool   // nothing can be written to the state's file system
}

// simFile is a file or a link.
type simFile struct {
	link       string
	data       []byte
	onDisk     []byte
	executable bool
}

var _ FileSystem = (*simDisk)(nil)

func newSimDisk() *simDisk {
	return &simDisk{names: map[string]*simFile{}, durable: map[string]*simFile{}, locked: map[string]bool{}}
}

// cut says what of the unsynced a power cut keeps.
type cut string

const (
	cutDropsAll  cut = "nothing unsynced survives"
	cutKeepsAll  cut = "everything survives"
	cutKeepsName cut = "names survive, unsynced content is lost"
)

// after is the disk as the next boot finds it.
func (d *simDisk) after(c cut) *simDisk {
	next := newSimDisk()
	from := d.names
	if c == cutDropsAll {
		from = d.durable
	}
	for name, f := range from {
		if strings.HasPrefix(name, "/run/") || strings.HasPrefix(name, "/proc/") {
			continue
		}
		g := *f
		if c != cutKeepsAll {
			g.data = f.onDisk
		}
		g.onDisk = g.data
		next.names[name], next.durable[name] = &g, &g
	}
	return next
}

func (d *simDisk) step() {
	d.ops++
	if d.hook != nil && d.ops == d.hookAt {
		d.hook()
	}
	if d.cutAt > 0 && d.ops >= d.cutAt {
		panic(powerCut{})
	}
}

// settle makes everything durable: the state before the test begins.
func (d *simDisk) settle() {
	for _, f := range d.names {
		f.onDisk = f.data
	}
	d.durable = maps.Clone(d.names)
}

func (d *simDisk) put(name, text string) { d.names[name] = &simFile{data: []byte(text)} }

func (d *simDisk) program(name string) {
	d.names[name] = &simFile{data: []byte("#!"), executable: true}
}

// find follows links at the end of a name, and of the current system.
func (d *simDisk) find(name string) (*simFile, error) {
	for range 8 {
		f, ok := d.names[name]
		if !ok {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		if f.link == "" {
			return f, nil
		}
		if name = f.link; !path.IsAbs(name) {
			return f, nil
		}
	}
	return nil, fs.ErrInvalid
}

func (d *simDisk) ReadFile(name string) ([]byte, error) {
	f, err := d.find(name)
	if err != nil {
		return nil, err
	}
	return f.data, nil
}

func (d *simDisk) ReadDir(name string) ([]string, error) {
	var names []string
	for n := range d.names {
		if rest, ok := strings.CutPrefix(n, name+"/"); ok {
			first, _, _ := strings.Cut(rest, "/")
			names = append(names, first)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func (d *simDisk) Readlink(name string) (string, error) {
	f, ok := d.names[name]
	if !ok {
		return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	if f.link == "" {
		return "", fs.ErrInvalid
	}
	return f.link, nil
}

func (d *simDisk) Stat(name string) (FileInfo, error) {
	f, err := d.find(name)
	if err != nil {
		if _, dirErr := d.ReadDir(name); dirErr == nil {
			return FileInfo{Dir: true}, nil
		}
		return FileInfo{}, err
	}
	return FileInfo{Size: int64(len(f.data)), Executable: f.executable}, nil
}

func (d *simDisk) Write(name string, data []byte, _ fs.FileMode) error {
	d.step()
	if d.full && strings.HasPrefix(name, stateDir) {
		d.names[name] = &simFile{} // created, and no room for a byte
		return syscall.ENOSPC
	}
	d.names[name] = &simFile{data: slices.Clone(data)}
	return nil
}

func (d *simDisk) Sync(name string) error {
	d.step()
	if f, ok := d.names[name]; ok {
		f.onDisk = f.data
		return nil
	}
	for n := range d.durable {
		if path.Dir(n) == name {
			delete(d.durable, n)
		}
	}
	for n, f := range d.names {
		if path.Dir(n) == name {
			d.durable[n] = f
		}
	}
	return nil
}

func (d *simDisk) Rename(from, to string) error {
	d.step()
	f, ok := d.names[from]
	if !ok {
		return fmt.Errorf("%s: %w", from, fs.ErrNotExist)
	}
	delete(d.names, from)
	d.names[to] = f
	return nil
}

func (d *simDisk) Symlink(target, name string) error {
	d.step()
	if _, ok := d.names[name]; ok {
		return fs.ErrExist
	}
	d.names[name] = &simFile{link: target}
	return nil
}

func (d *simDisk) Remove(name string) error {
	d.step()
	delete(d.names, name)
	return nil
}

func (d *simDisk) MkdirAll(string, fs.FileMode) error { return nil }

func (d *simDisk) SyncAll(string) error {
	d.step()
	d.settle()
	return nil
}

func (d *simDisk) Free(string) (free, size int64, err error) { return 1 << 30, 1 << 31, nil }

func (d *simDisk) Reserve(name string, _ int64) error { return d.Write(name, nil, 0o600) }

func (d *simDisk) Lock(name string, _ bool) (func(), error) {
	if d.locked[name] {
		return nil, errLocked
	}
	d.locked[name] = true
	return func() { delete(d.locked, name) }, nil
}
