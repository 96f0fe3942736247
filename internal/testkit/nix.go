package testkit

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// NixEnv names a program (with arguments) that runs the programs given as its
// further arguments, nix's and sshd, for machines that have them elsewhere
// than in PATH. The test's folders have to be visible to it at their own paths.
const NixEnv = "NIXMESH_TEST_NIX"

// Wrap makes the command for a program; env is the whole environment.
type Wrap func(ctx context.Context, env []string, args ...string) *exec.Cmd

// Nix is how to start a real nix without build users, sandbox and binary
// caches: that of PATH, else the one that NixEnv names, else the lab's.
func Nix(t *testing.T, lab func(*testing.T) Wrap) Wrap {
	t.Helper()
	run := program(t, "nix", lab)
	return func(ctx context.Context, env []string, args ...string) *exec.Cmd {
		config := "build-users-group =\nsandbox = false\nsubstituters =\nflake-registry =\n" //nolint:misspell // Nix's word
		for _, e := range env {
			if own, ok := strings.CutPrefix(e, "NIX_CONFIG="); ok {
				config += own + "\n"
			}
		}
		return run(ctx, append(append([]string{}, env...), "NIX_CONFIG="+config), args...)
	}
}

// program finds a way to start a program of this name.
func program(t *testing.T, name string, lab func(*testing.T) Wrap) Wrap {
	t.Helper()
	wrapper := strings.Fields(os.Getenv(NixEnv))
	if _, err := exec.LookPath(name); err != nil && len(wrapper) == 0 {
		return lab(t)
	}
	return func(ctx context.Context, env []string, args ...string) *exec.Cmd {
		args = append(append([]string{}, wrapper...), args...)
		c := exec.CommandContext(ctx, args[0], args[1:]...)
		c.Env = env
		return c
	}
}
