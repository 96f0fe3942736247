package benchlab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is the number that this machine has for the process of a host's unit that
// began first.
func (l *Lab) Process(host, unit string) (int, error) {
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", l.Hosts[host].PID))
	if err != nil {
		return 0, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	first := 0
	for _, p := range processes {
		cgroup, err := os.ReadFile(p + "/cgroup")
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(cgroup)), "/"+unit+".service") {
			continue // another unit's, or it is gone
		}
		if of, err := os.Readlink(p + "/ns/pid"); err != nil || of != namespace {
			continue
		}
		if n, err := strconv.Atoi(filepath.Base(p)); err == nil && (first == 0 || n < first) {
			first = n
		}
	}
	if first == 0 {
		return 0, fmt.Errorf("%s runs no %s", host, unit)
	}
	return first, nil
}
