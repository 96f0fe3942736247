package nix

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// DefaultEvalMemory is what the evaluation of one real NixOS host takes at its
// peak (measured: 8 hosts in one process 1.66 GB, one host about 1.2 GB).
const DefaultEvalMemory = 1200 << 20

// evalSlots is how many evaluations may run at once: as many as fit into the
// memory that is available now, at least one, at most one per core.
func evalSlots(perEval int64) int {
	if perEval <= 0 {
		perEval = DefaultEvalMemory
	}
	n := runtime.NumCPU()
	if free := memAvailable(); free > 0 {
		n = min(n, int(free/perEval))
	}
	return max(n, 1)
}

// memAvailable is MemAvailable of /proc/meminfo in bytes, 0 = unknown.
func memAvailable() int64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "MemAvailable:")
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return 0
		}
		return kb << 10
	}
	return 0
}
