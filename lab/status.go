package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// HostStatus is a host as it is now.
type HostStatus struct {
	Name    string    `json:"name"`
	Address string    `json:"address"`
	SSHPort int       `json:"ssh_port"`
	State   string    `json:"state"` // booting, running, off, failed
	Since   time.Time `json:"since"` // of the state
	Boots   int       `json:"boots"` // since the lab came up
	Faults  []string  `json:"faults"`
	PID     int       `json:"pid"`     // process 1 in the machine's numbers, 0 when not running
	Root    string    `json:"root"`    // the host's root as the machine sees it, running or not
	Console string    `json:"console"` // file of what process 1 and the loader said
	Disk    int64     `json:"disk"`    // bytes that the host's own disks take
}

// status is what the supervisor knows, with process ids in its own numbers.
func (s *supervisor) status() []HostStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]HostStatus, 0, len(s.hosts))
	for _, h := range s.hosts {
		h.mu.Lock()
		faults := h.faults.words()
		for _, c := range s.cuts {
			faults = append(faults, c.words(h.Name)...)
		}
		if faults == nil {
			faults = []string{}
		}
		all = append(all, HostStatus{
			Name: h.Name, Address: h.Address.String(), SSHPort: h.sshPort(), State: h.state, Since: h.since, Boots: h.boots,
			Faults: faults, PID: h.pid, Root: h.root(), Console: h.path("console.log"),
			Disk: allocated(h.path(diskImage)) + allocated(h.path(bootImage)),
		})
		h.mu.Unlock()
	}
	return all
}

// words says from whom a host is cut off.
func (c cut) words(name string) []string {
	for _, side := range [][2][]string{{c.A, c.B}, {c.B, c.A}} {
		for _, n := range side[0] {
			if n == name {
				return []string{"cut off from " + strings.Join(side[1], ",")}
			}
		}
	}
	return nil
}

// allocated is what a sparse file takes on its disk.
func allocated(path string) int64 {
	st, err := os.Stat(path)
	if err != nil {
		return 0
	}
	const sector = 512 // the unit of st_blocks, whatever the file system's is
	return st.Sys().(*syscall.Stat_t).Blocks * sector
}

// Status tells how the hosts are, in the order in which they were added.
// ErrNotRunning means that there are none.
func (l *Lab) Status(ctx context.Context) ([]HostStatus, error) {
	answer, supervisor, err := l.ask(ctx, request{Op: "status"})
	if err != nil {
		return nil, err
	}
	pids, err := outerPIDs(supervisor)
	if err != nil {
		return nil, err
	}
	for i := range answer.Status {
		h := &answer.Status[i]
		h.PID = pids[h.PID]
		h.Root = filepath.Join(fmt.Sprintf("/proc/%d/root", supervisor), h.Root)
	}
	return answer.Status, nil
}

// outerPIDs maps the numbers that a supervisor gives its children to those of
// this process's namespace.
func outerPIDs(supervisor int) (map[int]int, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read processes: %w", err)
	}
	pids := map[int]int{}
	for _, d := range dirs {
		outer, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join("/proc", d.Name(), "status"))
		if err != nil {
			continue // it is gone
		}
		var parent int
		var numbers []string // from this namespace's inwards
		for line := range strings.Lines(string(text)) {
			switch key, value, _ := strings.Cut(line, ":"); key {
			case "PPid":
				parent, _ = strconv.Atoi(strings.TrimSpace(value))
			case "NSpid":
				numbers = strings.Fields(value)
			}
		}
		// A host's process 1 has a number in its own namespace, too.
		if parent == supervisor && len(numbers) >= 2 {
			if inner, err := strconv.Atoi(numbers[len(numbers)-2]); err == nil {
				pids[inner] = outer
			}
		}
	}
	return pids, nil
}
