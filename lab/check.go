package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// checkDeadline bounds a program that does nothing, on a machine that may be busy.
const checkDeadline = 2 * time.Minute

// Check says whether this machine can run a lab; the error, an
// ErrUnsupported, names what is missing and what to do. It changes nothing.
func Check() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w: it needs Linux, this is %s", ErrUnsupported, runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w as this user: it makes namespaces and mounts file systems; run it as root (sudo)", ErrUnsupported)
	}
	// Root in a container is often not allowed to.
	ctx, cancel := context.WithTimeout(context.Background(), checkDeadline)
	defer cancel()
	try := exec.CommandContext(ctx, "true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: hostNamespaces | unix.CLONE_NEWCGROUP}
	if err := try.Run(); err != nil {
		return fmt.Errorf("%w: it cannot make namespaces (%w); a container needs --privileged", ErrUnsupported, err)
	}
	kinds, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	have := map[string]bool{}
	for line := range strings.Lines(string(kinds)) {
		w := strings.Fields(line)
		have[w[len(w)-1]] = true
	}
	for _, kind := range []string{"overlay", "ext4", "cgroup2", "tmpfs"} {
		if !have[kind] {
			return fmt.Errorf("%w: its kernel has no file system %s now; load it with modprobe %s", ErrUnsupported, kind, kind)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("%w: it has no loop devices; load them with modprobe loop, or start the container with /dev/loop-control", ErrUnsupported)
	}
	return nil
}
