package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

const (
	// inotifyLimit is a limit of the whole machine for each user. A host's
	// systemd takes a handful and exits at once when there are none; 128,
	// the kernel's default, is 20 hosts.
	inotifyLimit  = "/proc/sys/fs/inotify/max_user_instances"
	inotifyWanted = 8192
	// inotifyBefore keeps, in the cache, what the limit was.
	inotifyBefore = "inotify.before"
)

// withRoom gives the machine room for the hosts' systemd and runs start, after
// which the lab has its link. The last lab that goes down puts the limit back.
func (l *Lab) withRoom(ctx context.Context, start func() error) error {
	lock, err := l.cache.lock(ctx, "limits")
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := l.raiseLimits(); err != nil {
		return err
	}
	return start()
}

func (l *Lab) raiseLimits() error {
	now, err := readLimit(inotifyLimit)
	if err != nil || now >= inotifyWanted {
		return err
	}
	l.log(fmt.Sprintf("raising fs.inotify.max_user_instances of this machine from %d to %d until the last lab is down", now, inotifyWanted))
	if err := os.WriteFile(l.cache.path(inotifyBefore), []byte(strconv.Itoa(now)), 0o644); err != nil {
		return fmt.Errorf("keep limit: %w", err)
	}
	return writeLimit(inotifyLimit, inotifyWanted)
}

// restoreLimits undoes withRoom when no lab is left on the machine.
func (l *Lab) restoreLimits(ctx context.Context) error {
	lock, err := l.cache.lock(ctx, "limits")
	if err != nil {
		return err
	}
	defer lock.Close()
	before, err := readLimit(l.cache.path(inotifyBefore))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("find other labs: %w", err)
	}
	for _, i := range links {
		if isLabLink(i.Name) {
			return nil
		}
	}
	if err := writeLimit(inotifyLimit, before); err != nil {
		return err
	}
	return os.Remove(l.cache.path(inotifyBefore))
}

func readLimit(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read limit: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("read limit: %w", err)
	}
	return n, nil
}

func writeLimit(path string, n int) error {
	if err := os.WriteFile(path, []byte(strconv.Itoa(n)), 0o644); err != nil {
		return fmt.Errorf("set limit: %w", err)
	}
	return nil
}
