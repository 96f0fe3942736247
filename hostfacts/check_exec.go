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

// CheckUnitPrefix begins the names of the units of exec checks.
// Verification passes them over: a failed check is no failed unit.
const CheckUnitPrefix = "nixmesh-check-"

// runExec passes when the command ends with 0. It runs in a transient unit
// with the service's user, sandbox and environment. Folders such as
// RuntimeDirectory are among the sandbox's properties only where systemd makes up
// the user, with the word to keep them: it would remove them when the check ends.
func runExec(ctx context.Context, c Check, r Runner) (ok bool, answer string) {
	unit := CheckUnitPrefix + unitSafe(c.Name) + "-" + strings.ToLower(rand.Text()[:8])
	c.Env = withCredentials(c, unit)
	argv, err := expand(c.Exec, c.Env, c.EnvironmentFile != "")
	if err != nil {
		return false, err.Error()
	}
	name := lastElement(argv[0])
	program := r.SystemdRun
	if program == "" {
		program = "systemd-run"
	}
	cmd := exec.CommandContext(ctx, program, systemdRunArgs(c, unit, argv, remaining(ctx, c))...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	// systemd ends the unit at the check's deadline, and systemd-run with it.
	cmd.Cancel = func() error { return nil }
	cmd.WaitDelay = childGrace
	var output tail
	cmd.Stdout, cmd.Stderr = &output, &output
	return execAnswer(ctx, c, name, cmd.Run(), &output)
}

// execAnswer is the end of a command as a check's result.
func execAnswer(ctx context.Context, c Check, name string, err error, output *tail) (ok bool, answer string) {
	text := lastLines(output.b)
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

// withCredentials is a check's environment with what names its secrets: the
// folder that systemd makes for its unit.
func withCredentials(c Check, unit string) map[string]string {
	if len(c.Credentials) == 0 {
		return c.Env
	}
	env := maps.Clone(c.Env)
	if env == nil {
		env = map[string]string{}
	}
	dir := "/run/credentials/" + unit + ".service"
	env["CREDENTIALS_DIRECTORY"] = dir
	for _, credential := range c.Credentials {
		name, _, _ := strings.Cut(credential, ":")
		env[name+"_FILE"] = dir + "/" + name
	}
	return env
}

// systemdRunArgs is the command line of a check's transient unit. Secrets are
// not on it: systemd itself reads them, and replaces their names in the words.
func systemdRunArgs(c Check, unit string, argv []string, timeout time.Duration) []string {
	replace := "no"
	if c.EnvironmentFile != "" {
		replace = "yes"
	}
	args := []string{
		"--wait", "--collect", "--pipe", "--quiet",
		"--expand-environment=" + replace,
		"--unit=" + unit,
		"--property=User=" + c.User,
		"--property=RuntimeMaxSec=" + strconv.FormatInt(max(timeout.Milliseconds(), 1), 10) + "ms",
		"--property=TimeoutStopSec=1s",
		"--property=KillMode=control-group",
	}
	for _, property := range c.Sandbox {
		args = append(args, "--property="+property)
	}
	for _, credential := range c.Credentials {
		args = append(args, "--property=LoadCredential="+credential)
	}
	if c.EnvironmentFile != "" {
		args = append(args, "--property=EnvironmentFile="+c.EnvironmentFile)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Env)) {
		args = append(args, "--setenv="+key+"="+c.Env[key])
	}
	return append(append(args, "--"), argv...)
}

// expand replaces ${NAME} by the environment's value and $$ by a dollar. With
// more, systemd does it once again for the names that it knows alone: those
// stay, and every other dollar is doubled.
func expand(words []string, env map[string]string, more bool) ([]string, error) {
	dollar := "$"
	if more {
		dollar = "$$"
	}
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
				b.WriteString(dollar)
				rest = after[1:]
			case strings.HasPrefix(after, "{") && closed:
				value, ok := env[name]
				switch {
				case ok:
					b.WriteString(strings.ReplaceAll(value, "$", dollar))
				case more:
					b.WriteString("${" + name + "}")
				default:
					return nil, fmt.Errorf("command of the check: variable %s is not set", name)
				}
				rest = tail
			default:
				b.WriteString(dollar)
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
