package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hangPoll is how often an armed host is searched for a switch. A real switch
// takes a tenth of a second at least.
const hangPoll = 4 * time.Millisecond

// switchProgram is part of the name of every program that switches a NixOS,
// wrapped or not.
const switchProgram = "switch-to-configuration"

// hangSwitch stops the next `times` switches on the host in their tracks: any
// program called switch-to-configuration, whoever wrote it, gets SIGSTOP as
// soon as it is seen. Its files and locks stay as they are; SIGKILL ends it,
// and so does the SIGTERM of a systemd that also continues it.
func (h *host) hangSwitch(s *supervisor, times int) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	stopped := map[int]bool{}
	go func() {
		defer close(ended)
		for len(stopped) < times && sleep(ctx, hangPoll) == nil {
			for _, pid := range h.switching() {
				if !stopped[pid] && unix.Kill(pid, unix.SIGSTOP) == nil {
					stopped[pid] = true
					s.log.Info("switch hangs", "host", h.Name, "pid", pid)
				}
				if len(stopped) == times {
					break
				}
			}
		}
	}()
	h.setHang(times, func() {
		cancel()
		<-ended
		for pid := range stopped {
			_ = unix.Kill(pid, unix.SIGCONT) // normally dead by now
		}
	})
}

// setHang ends the watch before and takes note of the next one. It ends the
// old one without mu, which that takes in every round.
func (h *host) setHang(times int, stop func()) {
	h.mu.Lock()
	old := h.stopHang
	h.stopHang, h.faults.HangSwitch = stop, times
	h.mu.Unlock()
	if old != nil {
		old()
	}
}

// switching are the processes of the host that switch it, in the supervisor's
// numbers. What only looks (check, dry-activate) is not among them.
func (h *host) switching() []int {
	host, err := os.Readlink("/proc/" + strconv.Itoa(h.process()) + "/ns/pid")
	if err != nil {
		return nil // it is off
	}
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || !isSwitch(pid) {
			continue
		}
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid)); err == nil && ns == host {
			pids = append(pids, pid)
		}
	}
	return pids
}

// isSwitch reads a process's command line.
func isSwitch(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(line, []byte(switchProgram)) {
		return false
	}
	return switches(strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"))
}

// switches says whether a command line switches a host: the program, perhaps
// behind its interpreter and one flag of that, then what to do.
func switches(words []string) bool {
	for i, w := range words[:min(len(words), 3)] {
		if strings.Contains(filepath.Base(w), switchProgram) {
			return (i == 0 || isInterpreter(words[0])) && i+1 < len(words) &&
				slices.Contains([]string{"switch", "test"}, words[i+1])
		}
	}
	return false
}

// isInterpreter tells a script's shell from a program that was given the path
// as an argument, such as systemd-run.
func isInterpreter(program string) bool {
	return slices.Contains([]string{"sh", "bash", "dash", "ash", "busybox", "perl", "python3"}, filepath.Base(program))
}

func (h *host) process() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pid
}
