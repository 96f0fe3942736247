package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// view is the operator's side of this lab: the base image's programs with the
// store that all labs of the machine share.
func (l *Lab) view(base string) *view {
	v := &view{
		base: base, store: l.cache.path("store-"+filepath.Base(base), "nix"), mountpoint: l.cache.path("view"),
		binds:     []string{l.cache.dir, l.state, os.TempDir()},
		cacheHome: l.cache.path("nix"),
		settings: "experimental-features = nix-command flakes\nbuild-users-group =\nsandbox = false\n" +
			"warn-dirty = false\nuse-xdg-base-directories = false\n",
	}
	if l.fleet != "" {
		v.binds = append(v.binds, l.fleet)
	}
	if l.offline() {
		v.settings += "substituters =\nflake-registry =\n"
	}
	return v
}

// Nix returns how to start a program of Nix, or any other of the base image:
// with this environment and these arguments, the first of which names the
// program. It sees this machine's folders at their own paths, /usr and /etc
// excepted, and a store of the lab's own, without daemon, build users and
// sandbox. The base image must be there: after Up, or Prepare.
func (l *Lab) Nix() func(ctx context.Context, env []string, args ...string) *exec.Cmd {
	v := l.view(l.cache.path(baseName()))
	return func(ctx context.Context, env []string, args ...string) *exec.Cmd {
		return v.command(ctx, env, args...)
	}
}

// SSH returns ssh to a host of the lab as root, with the lab's key; without a
// command it is a shell. The words of the command are joined with blanks and
// read by the host's shell, as ssh does.
func (l *Lab) SSH(ctx context.Context, h HostStatus, command []string) *exec.Cmd {
	args := []string{"ssh", "-F", "/dev/null", "-i", l.path(operatorKey), "-o", "IdentitiesOnly=yes",
		"-o", "UserKnownHostsFile=" + l.path("known_hosts"), "-o", "StrictHostKeyChecking=yes",
		"-p", strconv.Itoa(h.SSHPort), "-o", "HostKeyAlias=" + h.Address, "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"}
	args = append(append(args, "--", "root@"+h.Address), command...)
	return l.Nix()(ctx, nil, args...)
}

// Nixpkgs says which nixpkgs the hosts' first system is made of.
func (l *Lab) Nixpkgs() string {
	if l.offline() {
		return "the lab's stand-in, not the real one"
	}
	return l.nixpkgs
}

// makeStore makes the folder of the operator's /nix. Nix fills it at its first
// start.
func (l *Lab) makeStore(base string) error {
	if err := errors.Join(os.MkdirAll(l.view(base).store, 0o755), os.MkdirAll(l.cache.path("view"), 0o755)); err != nil {
		return fmt.Errorf("make store: %w", err)
	}
	return nil
}

// Prepare makes what nix on the operator's side needs, which Up does, too: the
// base image and the store.
func (l *Lab) Prepare(ctx context.Context) error {
	base, err := l.cache.base(ctx)
	if err != nil {
		return err
	}
	return l.makeStore(base)
}

// PrepareEnvoy fetches the hosts' Envoy, which Up does, too.
func (l *Lab) PrepareEnvoy(ctx context.Context) error {
	_, err := l.cache.envoy(ctx)
	return err
}
