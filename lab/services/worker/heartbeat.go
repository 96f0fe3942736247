package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// stale is the age at which a heartbeat says that its worker hangs.
const stale = 10 * round

// sick is what a worker writes that was told to be unhealthy.
const sick = "unhealthy: FAIL_HEALTH=1"

// heartbeatFile is where worker and ping meet.
func heartbeatFile(getenv func(string) string) (string, error) {
	for _, name := range []string{"RUNTIME_DIRECTORY", "STATE_DIRECTORY"} {
		if dir, _, _ := strings.Cut(getenv(name), ":"); dir != "" {
			return filepath.Join(dir, "heartbeat"), nil
		}
	}
	return "", fmt.Errorf("find heartbeat: neither RUNTIME_DIRECTORY nor STATE_DIRECTORY is set")
}

// beat writes that the worker was alive at a time. A reader sees the whole of
// it or the one before.
func beat(file string, now time.Time, unhealthy bool) error {
	text := now.Format(time.RFC3339Nano)
	if unhealthy {
		text = sick
	}
	if err := os.WriteFile(file+".tmp", []byte(text), 0o644); err != nil {
		return fmt.Errorf("write heartbeat: %w", err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		return fmt.Errorf("write heartbeat: %w", err)
	}
	return nil
}

// ping says whether the last heartbeat is young enough.
func ping(file string, now time.Time) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read heartbeat: %w", err)
	}
	if string(text) == sick {
		return fmt.Errorf("%s", sick)
	}
	last, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("read heartbeat: %w", err)
	}
	if age := now.Sub(last); age > stale {
		return fmt.Errorf("last heartbeat is %s old", age.Round(time.Millisecond))
	}
	return nil
}
