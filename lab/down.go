package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// downDeadline bounds the wait for the kernel to take a dead lab apart, which on a
// busy machine writes disks back first.
const downDeadline = 2 * time.Minute

// Down takes the lab away: hosts with their disks, network, processes. Keys
// stay. It also clears what a crash left, and is content with nothing.
func (l *Lab) Down(ctx context.Context) error {
	lock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := l.sweep(ctx); err != nil {
		return err
	}
	for _, name := range []string{"hosts", "cgroup", controlSocket, "supervisor.log"} {
		if err := os.RemoveAll(l.path(name)); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
	}
	if err := l.cache.forget(l.id()); err != nil {
		return err
	}
	return l.restoreLimits(ctx)
}

// killSupervisor kills process 1 of the lab's PID namespace, and with it every
// process of the lab. Without one it does nothing.
func (l *Lab) killSupervisor(ctx context.Context) error {
	conn, pid, err := dialControl(ctx, l.state)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	conn.Close()
	if err := kill(pid); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("end the lab's supervisor: %w", err)
	}
	return waitUntil(ctx, "the lab's supervisor ends", func() (bool, error) { return !alive(pid), nil })
}

// alive tells a living process from one that is gone, or is only waiting for
// its parent to notice.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// sweep ends the supervisor, waits until the kernel has taken the lab's link
// and loop devices away, and removes its cgroups. The caller holds the lab's
// lock: a supervisor that does not listen is gone, or ends already because
// `lab up` was killed before it was configured.
func (l *Lab) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, downDeadline)
	defer cancel()
	if err := l.killSupervisor(ctx); err != nil {
		return err
	}
	if err := waitUntil(ctx, "the lab's link "+l.link()+" goes away (lsns -t net shows who holds its network)", func() (bool, error) {
		_, err := net.InterfaceByName(l.link())
		return err != nil, nil
	}); err != nil {
		return err
	}
	if err := waitUntil(ctx, "the lab's loop devices are freed", func() (bool, error) {
		used, err := loopsOf(l.path("hosts"))
		return len(used) == 0, err
	}); err != nil {
		return err
	}
	at := l.path("cgroup")
	if err := os.MkdirAll(at, 0o700); err != nil {
		return fmt.Errorf("remove cgroups: %w", err)
	}
	cmd := stageCommand(ctx, stageSweep, at, l.id())
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("remove cgroups: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// loopsOf lists the loop devices whose images lie in a folder.
func loopsOf(dir string) ([]string, error) {
	backing, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return nil, fmt.Errorf("read loop devices: %w", err)
	}
	var used []string
	for _, path := range backing {
		image, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(image), dir+"/") {
			used = append(used, filepath.Base(filepath.Dir(filepath.Dir(path))))
		}
	}
	return used, nil
}

// waitUntil asks again and again until ctx ends, and once more then.
func waitUntil(ctx context.Context, what string, done func() (bool, error)) error {
	for {
		late := sleep(ctx, 2*time.Millisecond)
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if late != nil {
			return fmt.Errorf("wait until %s: %w", what, late)
		}
	}
}
