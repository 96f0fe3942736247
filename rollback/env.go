package rollback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nixmesh/nixmesh/hostfacts"
)

// Clock is the host's boot clock (CLOCK_BOOTTIME: it runs on during suspend
// and no one sets it; wall clocks decide nothing here).
type Clock interface {
	// Boot returns the time since boot.
	Boot() time.Duration
	// Sleep waits for d or until ctx ends, whose cause it returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// Checker runs one check once as its user and says how it was answered.
type Checker func(ctx context.Context, c hostfacts.Check) (ok bool, answer string)

// SignatureCheck verifies an armored SSHSIG of namespace over message by one
// of the allowed public keys (authorized_keys lines).
type SignatureCheck func(allowed []string, namespace string, message []byte, armored string) error

// Command is one program to run. Its environment is Env and nothing else.
type Command struct {
	Path   string
	Args   []string
	Env    []string
	Output io.Writer // stdout and stderr; nil = stdout is captured, stderr put into the error
}

// CommandResult is how a program ended.
type CommandResult struct {
	Out  []byte
	Code int // exit status; -1 when a signal ended it
}

// Runner runs a program to its end. The error is for a program that could not
// be started; one that ended badly has a Code, and its stderr in Out's place
// when nothing else was captured.
type Runner func(ctx context.Context, c Command) (CommandResult, error)

// Env is everything that Main takes from outside; tests replace parts of it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Environ        []string // as the process was started; "A=b"
	Files          FileSystem
	Clock          Clock
	Run            Runner
	Check          Checker
	Signature      SignatureCheck
	// Systemd opens a connection to PID 1. Connections do not outlive a
	// daemon-reexec, so each step opens its own.
	Systemd func(ctx context.Context) (Systemd, error)
	// Banner returns the first line that a TCP port of this host sends.
	Banner func(ctx context.Context, address string) (string, error)
	// Executable is the path of the running program, links resolved.
	Executable string
	// Exec replaces the process.
	Exec func(path string, argv, env []string) error
	// Isolate clears the environment and ignores SIGPIPE; nil in tests.
	Isolate func() error
	// Installed says that the program was called as nixmesh-host, the one
	// name that sudo allows: only the deployer's verbs are accepted then.
	Installed bool
	Version   string
}

// System is the Env of the machine itself. The caller adds Check, Signature,
// Installed and Version.
func System() Env {
	executable, err := os.Readlink("/proc/self/exe")
	if err != nil {
		executable = os.Args[0]
	}
	return Env{
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Environ:    os.Environ(),
		Files:      osFiles{},
		Clock:      bootClock{},
		Run:        runCommand,
		Systemd:    dialSystemd,
		Banner:     readBanner,
		Executable: executable,
		Exec:       syscall.Exec,
		Isolate:    isolate,
	}
}

// ownPath is where libraries that start programs by name find them; the
// protocol itself names every program by its path.
const ownPath = "/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// isolate makes the process independent of who called it: nothing of the
// caller's environment reaches a child, and a dropped SSH connection is a
// write error and no signal.
func isolate() error {
	os.Clearenv()
	if err := os.Setenv("PATH", ownPath); err != nil {
		return fmt.Errorf("set PATH: %w", err)
	}
	signal.Ignore(syscall.SIGPIPE)
	// A terminal's stop key reaches us whoever we are: not under the lock.
	signal.Ignore(syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	unix.Umask(0o022)
	if os.Geteuid() != 0 {
		return errors.New("the host helper runs as root: call it by sudo")
	}
	return nil
}

// bootClock is the kernel's CLOCK_BOOTTIME.
type bootClock struct{}

func (bootClock) Boot() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

func (bootClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// runCommand runs a program of the machine. When ctx ends it is killed, and
// given 2 s for the processes that hold its output.
func runCommand(ctx context.Context, c Command) (CommandResult, error) {
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.Env = c.Env
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.WaitDelay = 2 * time.Second
	var out, errs bytes.Buffer
	if c.Output != nil {
		cmd.Stdout, cmd.Stderr = c.Output, c.Output
	} else {
		cmd.Stdout, cmd.Stderr = &out, &errs
	}
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return CommandResult{}, fmt.Errorf("start %s: %w", c.Path, err)
	}
	res := CommandResult{Out: out.Bytes(), Code: cmd.ProcessState.ExitCode()}
	if res.Code != 0 && len(res.Out) == 0 {
		res.Out = errs.Bytes()
	}
	return res, nil
}
