package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// cgroups is the lab's part of the machine's cgroup2 tree: one group per host,
// which the host sees as the root.
type cgroups struct{ dir string }

// openCgroups mounts the tree in this mount namespace, wherever the machine
// has it, and makes the lab's group.
func openCgroups(at, id string) (cgroups, error) {
	var m mounts
	m.mount("cgroup2", at, "cgroup2", 0, "")
	if m.err != nil {
		return cgroups{}, m.err
	}
	c := cgroups{filepath.Join(at, "nixmesh-lab-"+id)}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return cgroups{}, fmt.Errorf("make cgroup: %w", err)
	}
	for _, controller := range []string{"+cpu", "+memory", "+pids"} {
		// What the machine has not, its hosts do without.
		_ = os.WriteFile(filepath.Join(c.dir, "cgroup.subtree_control"), []byte(controller), 0)
	}
	return c, nil
}

// fresh empties and remakes a host's group and opens it.
func (c cgroups) fresh(name string) (*os.File, error) {
	dir := filepath.Join(c.dir, name)
	if err := removeCgroup(dir, time.Now().Add(5*time.Second)); err != nil {
		return nil, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	return f, nil
}

// removeCgroup removes a group with those below it. Its processes are dead or
// dying; the kernel needs a moment for them.
func removeCgroup(dir string, deadline time.Time) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeCgroup(filepath.Join(dir, e.Name()), deadline); err != nil {
				return err
			}
		}
	}
	for {
		err := unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove cgroup %s: %w", dir, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// sweepStage removes a dead lab's cgroups. It has a mount namespace of its
// own, because the machine may have no cgroup2 mounted.
func sweepStage(args []string) error {
	if len(args) != 2 {
		return errors.New("want MOUNTPOINT ID")
	}
	var m mounts
	m.private()
	m.mount("cgroup2", args[0], "cgroup2", 0, "")
	if m.err != nil {
		return m.err
	}
	return removeCgroup(filepath.Join(args[0], "nixmesh-lab-"+args[1]), time.Now().Add(5*time.Second))
}
