package benchlab

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// Port is where the application of a service listens, as the fleet's lock says.
func Port(dir, service string) (int, error) {
	lock, err := os.ReadFile(filepath.Join(dir, "nixmesh.lock"))
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`(?m)^port ` + service + ` (\d+)$`).FindSubmatch(lock)
	if m == nil {
		return 0, fmt.Errorf("the lock has no port of %s", service)
	}
	return strconv.Atoi(string(m[1]))
}
