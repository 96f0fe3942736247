package hostfacts

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// CheckUnitPrefix begins the names of the transient units of exec checks.
// Verification passes them over: a failed check is no failed unit.
const CheckUnitPrefix = "nixmesh-check-"

// runExec passes when the command ends with 0. It runs in a transient unit
// with the service's user, sandbox and environment; folders such as
// RuntimeDirectory are not among the sandbox's properties, since systemd would
// delete them when the check ends.
func runExec(ctx context.Context, c Check, r Runner) (ok bool, answer string) {
	argv, err := expand(c.Exec, c.Env)
	if err != nil {
		return false, err.Error()
	}
	name := lastElement(argv[0])
	program := r.SystemdRun
	if program == "" {
		program = "systemd-run"
	}
	cmd := exec.CommandContext(ctx, program, systemdRunArgs(c, argv, remaining(ctx, c))...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	// systemd ends the unit at the check's deadline, and systemd-run with it.
	cmd.Cancel = func() error { return nil }
	cmd.WaitDelay = childGrace
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	text := lastLines(output.Bytes())
	switch exit := (*exec.ExitError)(nil); {
	case err == nil:
		return true, strings.TrimSpace(name + " 0 " + text)
	case ctx.Err() != nil:
		return false, strings.TrimSpace(fmt.Sprintf("%s: %s %s", name, reason(ctx, c, err), text))
	case errors.As(err, &exit) && exit.Exited():
		return false, strings.TrimSpace(fmt.Sprintf("%s: exit status %d: %s", name, exit.ExitCode(), text))
	default:
		return false, strings.TrimSpace(fmt.Sprintf("%s: %s %s", name, err, text))
	}
}

// systemdRunArgs is the command line of a check's transient unit.
func systemdRunArgs(c Check, argv []string, timeout time.Duration) []string {
	args := []string{
		"--wait", "--collect", "--pipe", "--quiet",
		"--expand-environment=no",
		"--unit=" + CheckUnitPrefix + unitSafe(c.Name) + "-" + strings.ToLower(rand.Text()[:8]),
		"--property=User=" + c.User,
		"--property=RuntimeMaxSec=" + strconv.FormatInt(max(timeout.Milliseconds(), 1), 10) + "ms",
		"--property=TimeoutStopSec=1s",
		"--property=KillMode=control-group",
	}
	for _, property := range c.Sandbox {
		args = append(args, "--property="+property)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Env)) {
		args = append(args, "--setenv="+key+"="+c.Env[key])
	}
	return append(append(args, "--"), argv...)
}

// expand replaces ${NAME} by the environment's value and $$ by a dollar.
func expand(words []string, env map[string]string) ([]string, error) {
	out := make([]string, len(words))
	for i, word := range words {
		var b strings.Builder
		for rest := word; rest != ""; {
			before, after, found := strings.Cut(rest, "$")
			b.WriteString(before)
			if !found {
				break
			}
			name, tail, closed := strings.Cut(strings.TrimPrefix(after, "{"), "}")
			switch {
			case strings.HasPrefix(after, "$"):
				b.WriteByte('$')
				rest = after[1:]
			case strings.HasPrefix(after, "{") && closed:
				value, ok := env[name]
				if !ok {
					return nil, fmt.Errorf("command of the check: variable %s is not set", name)
				}
				b.WriteString(value)
				rest = tail
			default:
				b.WriteByte('$')
				rest = after
			}
		}
		out[i] = b.String()
	}
	return out, nil
}

// unitSafe keeps what a unit name may have.
func unitSafe(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, name)
}

func lastElement(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// lastLines is the end of an output, where the reason of a failure stands.
func lastLines(b []byte) string {
	b = bytes.TrimSpace(b)
	if len(b) <= snippetSize {
		return snippet(b)
	}
	b = b[len(b)-snippetSize:]
	for len(b) > 0 && !utf8.RuneStart(b[0]) {
		b = b[1:]
	}
	return "…" + snippet(b)
}
