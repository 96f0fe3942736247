package nix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// killGrace is what a nix process gets between SIGTERM and SIGKILL.
const killGrace = 5 * time.Second

// Tool runs nix programs. The zero value runs those of PATH.
type Tool struct {
	// Wrap makes the command for a nix program: args[0] is "nix" or
	// "nix-store", env is the whole environment. nil = from PATH. The lab
	// wraps nix into its own root.
	Wrap func(ctx context.Context, env []string, args ...string) *exec.Cmd
	// Options are added to each call of `nix`, for example {"--offline"}.
	Options []string
	// ShimDir is the folder whose `ssh` is nixmesh (see Shim); needed by what
	// talks to hosts.
	ShimDir string

	versionOnce sync.Once
	version     string
	versionErr  error
}

// ErrNoNix is a machine without nix.
var ErrNoNix = errors.New("nix is not installed here")

// Error is a nix program that failed, with Nix's own text.
type Error struct {
	Doing  string // "evaluate app1"
	Text   string // what nix said, without colours
	Status int    // exit status, -1 = did not end by itself
	Err    error
}

func (e *Error) Error() string {
	if e.Text != "" {
		return fmt.Sprintf("%s: %s", e.Doing, e.Text)
	}
	return fmt.Sprintf("%s: %v", e.Doing, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Short is Nix's text from its last "error:" on, without the trace above it
// and its indentation; all of the text where there is only one.
func (e *Error) Short() string {
	lines := strings.Split(e.Text, "\n")
	for i := len(lines) - 1; i > 0; i-- {
		trimmed := strings.TrimLeft(lines[i], " ")
		if !strings.HasPrefix(trimmed, "error:") {
			continue
		}
		indent := lines[i][:len(lines[i])-len(trimmed)]
		for n := range lines[i:] {
			lines[i+n] = strings.TrimPrefix(lines[i+n], indent)
		}
		return strings.Join(lines[i:], "\n")
	}
	return e.Text
}

// nix is the argument list of a `nix` call: the features that we use are
// always passed and never expected of nix.conf.
func (t *Tool) nix(args ...string) []string {
	all := []string{"nix", "--extra-experimental-features", "nix-command flakes"}
	return append(append(all, t.Options...), args...)
}

// command makes a process that is not ended by the terminal's Ctrl-C: ctx is
// what ends it, with SIGTERM first.
func (t *Tool) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	var c *exec.Cmd
	env = append(os.Environ(), env...)
	if t.Wrap != nil {
		c = t.Wrap(ctx, env, args...)
	} else {
		c = exec.CommandContext(ctx, args[0], args[1:]...)
		c.Env = env
	}
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.Setpgid = true
	endWithParent(c.SysProcAttr)
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGTERM) }
	c.WaitDelay = killGrace
	return c
}

// call is one nix process.
type call struct {
	doing  string
	env    []string
	args   []string
	events func(Event) // non-nil: stderr is internal-json
}

// run runs a nix program to its end and returns its stdout.
func (t *Tool) run(ctx context.Context, c call) ([]byte, error) {
	if c.events != nil {
		c.args = append(c.args, "--log-format", "internal-json", "-v")
	}
	cmd := t.command(ctx, c.env, c.args...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	log := newLogReader(c.events)
	cmd.Stderr = log
	err := cmd.Run()
	log.flush()
	if err == nil {
		return stdout.Bytes(), nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return stdout.Bytes(), &Error{Doing: c.doing, Text: "", Status: -1, Err: cause}
	}
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s: %w", c.doing, ErrNoNix)
	}
	e := &Error{Doing: c.doing, Text: log.errorText(), Status: -1, Err: err}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		e.Status = exit.ExitCode()
	}
	return stdout.Bytes(), e
}

// flakeURL is the reference of a folder as a flake.
func flakeURL(dir string) string { return "path:" + (&url.URL{Path: dir}).EscapedPath() }

// Version is what `nix --version` prints, such as "nix (Nix) 2.26.3".
func (t *Tool) Version(ctx context.Context) (string, error) {
	t.versionOnce.Do(func() {
		out, err := t.run(ctx, call{doing: "ask nix for its version", args: []string{"nix", "--version"}})
		t.version, t.versionErr = strings.TrimSpace(string(out)), err
	})
	return t.version, t.versionErr
}

// invalid returns those of the paths that the local store does not hold.
func (t *Tool) invalid(ctx context.Context, paths []string) (map[string]bool, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	args := append([]string{"nix-store", "--check-validity", "--print-invalid"}, paths...)
	out, err := t.run(ctx, call{doing: "check store paths", args: args})
	if err != nil {
		return nil, err
	}
	bad := map[string]bool{}
	for _, p := range strings.Fields(string(out)) {
		bad[p] = true
	}
	return bad, nil
}

var _ io.Writer = (*logReader)(nil)
