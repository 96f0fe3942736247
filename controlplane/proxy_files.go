package controlplane

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/xds"
	"github.com/nixmesh/nixmesh/hostfacts"
)

// maxProxyFile bounds a certificate, a key or roots in a file, in bytes.
const maxProxyFile = 1 << 20

// proxyFiles are the files that the facts name: certificates and keys of gateways
// and of externals. Who replaces one has told nobody, so they are looked at.
//
// What they held when they were good is in dir, too, for the next process: keys
// are among it, so dir is in memory and ends with the machine's boot.
type proxyFiles struct {
	now    func() time.Time
	dir    string // "" = nowhere
	logger *slog.Logger

	mu    sync.Mutex // guards what follows
	named map[string]*watched
	good  map[string]xds.Kept // what they held when they were good, by secret
	saved []byte              // the same, as it is in dir
	ends  time.Time           // when the first of them ends that has not, zero = none
}

// fileKept is in a folder of proxyFiles; it ends in the number of its schema.
const fileKept = "kept.v1"

// maxKept bounds it, in bytes: files in base64.
const maxKept = 64 * maxProxyFile

func newProxyFiles(now func() time.Time, dir string, logger *slog.Logger) *proxyFiles {
	f := &proxyFiles{now: now, dir: dir, logger: logger, named: map[string]*watched{}}
	if dir == "" {
		return f
	}
	sweep(dir)
	path := filepath.Join(dir, fileKept)
	text, err := readSealed(path, maxKept)
	if errors.Is(err, fs.ErrNotExist) {
		return f
	}
	if err == nil {
		err = json.Unmarshal(text, &f.good)
	}
	if err != nil {
		f.good = nil
		logger.Error("a process before kept certificates that cannot be read: the files' own are used", "file", path, "err", err)
		return f
	}
	f.saved = text
	return f
}

// save writes what is kept, where that is another than before. mu is held.
func (f *proxyFiles) save() {
	if f.dir == "" || len(f.good) == 0 && f.saved == nil {
		return
	}
	text, err := json.Marshal(f.good)
	if err == nil && bytes.Equal(text, f.saved) {
		return
	}
	if err == nil {
		err = os.MkdirAll(f.dir, 0o700)
	}
	if err == nil {
		err = replaceFile(filepath.Join(f.dir, fileKept), seal(text), func(*os.File) error { return nil })
	}
	if err != nil {
		f.logger.Error("certificates are not kept for an agent that starts anew", "dir", f.dir, "err", err)
		return
	}
	f.saved = text
}

// keep takes what a build found good in the files, for the next one.
func (f *proxyFiles) keep(good map[string]xds.Kept) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.save()
	f.good, f.ends = good, time.Time{}
	for _, one := range good {
		if one.Until.After(now) && (f.ends.IsZero() || one.Until.Before(f.ends)) {
			f.ends = one.Until
		}
	}
}

// kept is what the last build found good.
func (f *proxyFiles) kept() map[string]xds.Kept {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.good
}

// reader reads the files that facts name, and no others.
func (f *proxyFiles) reader(facts *hostfacts.Facts) func(path string) ([]byte, error) {
	named := map[string]*watched{}
	add := func(paths ...string) {
		for _, path := range paths {
			if path != "" {
				named[path] = &watched{path: path}
			}
		}
	}
	for _, g := range facts.Mesh.Gateways {
		for _, c := range g.Certificates {
			add(c.Chain, c.Key)
		}
	}
	for _, e := range facts.Mesh.Externals {
		add(e.CA, e.Chain, e.Key)
	}
	for _, w := range named {
		w.changed() // before it is read: a change from now on is one
	}
	f.mu.Lock()
	f.named = named
	f.mu.Unlock()
	return func(path string) ([]byte, error) {
		if named[path] == nil {
			return nil, fmt.Errorf("%s is not named by the facts of this host", path)
		}
		return readFile(path, maxProxyFile)
	}
}

// changed says whether any file is another one since the last call, or since
// reader; or a certificate of theirs has ended, which is told of.
func (f *proxyFiles) changed() bool {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := !f.ends.IsZero() && now.After(f.ends)
	if changed {
		f.ends = time.Time{} // once
	}
	for _, w := range f.named {
		changed = w.changed() || changed
	}
	return changed
}
