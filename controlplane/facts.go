package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// watched is a file that is looked at again and again. On a host of the fleet it
// is a link into the store, so it is another file when the link leads elsewhere.
type watched struct {
	path string
	seen *print // nil: it has to be looked at, whatever it is
}

// print tells one content of a file from another without reading it.
type print struct {
	file string // without links; "" = there is none
	at   time.Time
	size int64
}

// changed says whether it is another file since the last call.
func (w *watched) changed() bool {
	var now print
	if file, err := filepath.EvalSymlinks(w.path); err == nil {
		if info, err := os.Stat(file); err == nil {
			now = print{file, info.ModTime(), info.Size()}
		}
	}
	if w.seen != nil && *w.seen == now {
		return false
	}
	w.seen = &now
	return true
}

// facts are what this host's running system says of it, and what it remembers of
// removed operators. The agent's loop owns it.
type facts struct {
	host, revoked watched
	system        string // link to the running toplevel
	now           *hostfacts.Facts
	operators     *operators
	toplevel      string // name of the running toplevel
}

// known says whether they were read since the start.
func (f *facts) known() bool { return f.now.Host != "" }

// look reads again what changed. An error is about a file that was not there or
// not readable: what was known stays. self is the name of this host.
func (f *facts) look(self string) (changed bool, err error) {
	if f.host.changed() {
		next, e := hostfacts.Load(f.host.path)
		switch {
		case e != nil:
			err = fmt.Errorf("the facts of this host were not read: %w", e)
			f.host.seen = nil // again at the next look
		case next.Host != self:
			f.host.seen = nil
			err = fmt.Errorf("%s is of %q, and this agent is %q until it is started again", f.host.path, next.Host, self)
		default:
			f.now, changed = next, true
		}
	}
	if f.revoked.path != "" && f.revoked.changed() || changed {
		removed, e := readFile(f.revoked.path, maxRevoked)
		if e != nil && f.revoked.path != "" && !errors.Is(e, fs.ErrNotExist) {
			// Nobody is admitted whom an unreadable file may have refused.
			f.revoked.seen = nil
			return changed, errors.Join(err, fmt.Errorf("the keys of removed operators were not read: %w", e))
		}
		f.operators = newOperators(f.now.Operators, removed)
		changed = true
	}
	if target, e := os.Readlink(f.system); e == nil && filepath.Base(target) != f.toplevel {
		f.toplevel, changed = filepath.Base(target), true
	}
	return changed, err
}
