package health

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// sight is what can be seen of a unit by everybody, without asking systemd.
type sight struct {
	populated bool // a process is in its cgroup
	active    bool // systemd has it as active, if need be without a process
	start     string
	since     time.Time
}

// eyes look at units: at cgroups below a mounted cgroup2, and at the links of
// systemd's that name the invocations of units that are active, for journald.
type eyes struct {
	cgroups string
	units   string            // folder of the links
	folders map[string]string // by unit: where its cgroup was last
	notices notices
}

// mostSlices bounds how deep slices are looked through.
const mostSlices = 8

// look is what is to be seen of units now, by unit.
func (e *eyes) look(units []string) map[string]sight {
	seen := make(map[string]sight, len(units))
	missing := map[string]bool{}
	for _, name := range units {
		folder, ok := e.folders[name]
		if !ok || !e.see(name, folder, seen) {
			delete(e.folders, name)
			missing[name] = true
		}
	}
	if len(missing) > 0 {
		e.search(e.cgroups, missing, mostSlices)
	}
	for name := range missing {
		if folder, ok := e.folders[name]; !ok || !e.see(name, folder, seen) {
			seen[name] = e.withLink(name, sight{})
		}
	}
	return seen
}

// search looks for units' cgroups in a slice and the slices in it. What is
// below a service is none of systemd's, whatever it is called.
func (e *eyes) search(slice string, missing map[string]bool, depth int) {
	e.notices.made(slice)
	entries, err := os.ReadDir(slice)
	if err != nil {
		return // it has just gone, or there is no cgroup2: nothing runs there
	}
	for _, entry := range entries {
		folder := filepath.Join(slice, entry.Name())
		switch {
		case !entry.IsDir():
		case missing[entry.Name()]:
			e.folders[entry.Name()] = folder
		case strings.HasSuffix(entry.Name(), ".slice") && depth > 0:
			e.search(folder, missing, depth-1)
		}
	}
}

// see looks at the unit whose cgroup is a folder, and says whether it is there.
func (e *eyes) see(name, folder string, seen map[string]sight) bool {
	info, err := os.Stat(folder)
	if err != nil {
		return false
	}
	events := filepath.Join(folder, "cgroup.events")
	e.notices.written(events) // before it is read: no change is missed
	b, err := os.ReadFile(events)
	if err != nil {
		return false // it went meanwhile
	}
	s := sight{since: info.ModTime()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.start = fmt.Sprint("cgroup ", stat.Ino) // the kernel uses none twice
	}
	for line := range bytes.Lines(b) {
		if name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" ")); string(name) == "populated" {
			s.populated = string(value) == "1"
		}
	}
	seen[name] = e.withLink(name, s)
	return true
}

// withLink adds what the link of a unit says: it is made at each start, and
// goes when the unit is inactive or failed.
func (e *eyes) withLink(name string, s sight) sight {
	link := filepath.Join(e.units, "invocation:"+name)
	info, err := os.Lstat(link)
	if err != nil {
		return s
	}
	if invocation, err := os.Readlink(link); err == nil {
		s.active, s.start, s.since = true, invocation, info.ModTime()
	}
	return s
}
