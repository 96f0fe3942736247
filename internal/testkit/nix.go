package testkit

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// NixEnv names a program (with arguments) that runs nix programs given as its
// further arguments, for machines whose nix is not in PATH. Folders of the
// test have to be visible to it at their own paths.
const NixEnv = "NIXMESH_TEST_NIX"

// Nix is a nix.Tool.Wrap for tests, nil where nix is in PATH. A machine
// without any nix skips the test and says so.
func Nix(t *testing.T) func(ctx context.Context, env []string, args ...string) *exec.Cmd {
	t.Helper()
	wrapper := strings.Fields(os.Getenv(NixEnv))
	if len(wrapper) == 0 {
		if _, err := exec.LookPath("nix"); err != nil {
			t.Skipf("nix is not installed; %s may name a program that runs it", NixEnv)
		}
	}
	config := "NIX_CONFIG=build-users-group =\nsandbox = false\nsubstituters =\nflake-registry =\n"
	return func(ctx context.Context, env []string, args ...string) *exec.Cmd {
		args = append(append([]string{}, wrapper...), args...)
		c := exec.CommandContext(ctx, args[0], args[1:]...)
		c.Env = append(append([]string{}, env...), config)
		return c
	}
}
