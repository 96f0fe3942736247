package nix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// DaemonCommand is what the bridge runs on a host: nix-daemon on stdio, marked
// in its environment as one of nixmesh's copies.
const DaemonCommand = "env NIXMESH_COPY=1 nix-daemon --stdio"

// OrphanCleanup is the shell script to run on a host before each copy, under
// the lease and as the user that copies. It kills this user's `nix-daemon
// --stdio` processes that
//   - are marked as a copy of nixmesh: who holds the lease is the only one who
//     copies, so they are of a connection that died without the host's sshd
//     having noticed, which may take it two hours; or
//   - lost their connection (their parent, or their shell's, is PID 1).
//
// Such a process waits for ever, ignores SIGTERM, and holds the lock of the
// path that was being copied, so that every later copy of it hangs without a
// word.
const OrphanCleanup = `parent() {
  while read -r k v; do case $k in PPid:) echo "$v" ;; esac; done < "/proc/$1/status"
}
daemon() {
  case "$(tr '\000' ' ' < "/proc/$1/cmdline")" in *'nix-daemon --stdio ') return 0 ;; esac
  return 1
}
for p in /proc/[0-9]*; do
  [ -O "$p" ] || continue
  p=${p#/proc/}
  daemon "$p" || continue
  up=$(parent "$p")
  daemon "$up" && up=$(parent "$up")
  if [ "$up" = 1 ] || tr '\000' '\n' < "/proc/$p/environ" | grep -q '^NIXMESH_COPY='; then
    kill -KILL "$p"
  fi
done 2>/dev/null
true`

// Times of a copy.
const (
	CopyWatchdog = 60 * time.Second // without any progress a copy is ended and tried again
	copyAttempts = 4
	copyBackoff  = time.Second // doubled at each attempt
)

// ErrStalled is a copy without progress.
var ErrStalled = errors.New("no progress")

// CopyOptions is one closure's way to one host.
type CopyOptions struct {
	Host   string // name of the spec: its URL is ssh-ng://nixmesh-<host>
	Socket string // of remote's Bridge to nix-daemon on that host
	Paths  []string
	// NoCheckSigs is for first contact as root: root's daemon refuses paths
	// without a known signature unless told.
	NoCheckSigs bool
	// Derivations copies the derivations of Paths, for a build on the target.
	Derivations bool
	// NoSubstitute keeps the host from asking its binary caches.
	NoSubstitute bool
	Watchdog     time.Duration // 0 = CopyWatchdog
	Attempts     int           // 0 = 4
	// BeforeAttempt runs before each attempt, for OrphanCleanup. May be nil.
	BeforeAttempt func(ctx context.Context, attempt int) error
	// Reason adds what the bridge heard on the host's stderr. May be nil.
	Reason func() string
}

// Copy copies closures to a host. What arrived stays, so a copy that is cut
// off goes on where it was; it is retried after a pause unless the host's
// answer is one that another attempt cannot change.
func (t *Tool) Copy(ctx context.Context, o CopyOptions, ev func(Event)) error {
	attempts := o.Attempts
	if attempts == 0 {
		attempts = copyAttempts
	}
	pause := copyBackoff
	for attempt := 1; ; attempt++ {
		err := t.copyOnce(ctx, o, attempt, ev)
		if err == nil || ctx.Err() != nil || attempt == attempts || final(err) {
			return err
		}
		if ev != nil {
			ev(Event{Kind: EventRetry, Host: o.Host, Text: err.Error()})
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
		pause *= 2
	}
}

func (t *Tool) copyOnce(ctx context.Context, o CopyOptions, attempt int, ev func(Event)) error {
	if o.BeforeAttempt != nil {
		if err := o.BeforeAttempt(ctx, attempt); err != nil {
			return fmt.Errorf("copy to %s: %w", o.Host, err)
		}
	}
	env, url := t.storeArgs(Store{Host: o.Host, Socket: o.Socket})
	args := t.nix("copy", "--to", url)
	if !o.NoSubstitute {
		args = append(args, "--substitute-on-destination")
	}
	if o.NoCheckSigs {
		args = append(args, "--no-check-sigs")
	}
	if o.Derivations {
		args = append(args, "--derivation")
	}
	ctx, progress, stop := watchdog(ctx, o.Watchdog)
	defer stop()
	_, err := t.run(ctx, call{doing: "copy to " + o.Host, env: env, args: append(args, o.Paths...), events: func(e Event) {
		progress()
		if ev != nil {
			e.Host = o.Host
			ev(e)
		}
	}})
	if err != nil && o.Reason != nil {
		if reason := o.Reason(); reason != "" {
			return fmt.Errorf("%w (on the host: %s)", err, reason)
		}
	}
	return err
}

// watchdog ends the context with ErrStalled when progress is not called for a
// while.
func watchdog(ctx context.Context, limit time.Duration) (_ context.Context, progress, stop func()) {
	if limit == 0 {
		limit = CopyWatchdog
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(limit, func() { cancel(fmt.Errorf("%w for %s", ErrStalled, limit)) })
	return ctx, func() { timer.Reset(limit) }, func() { timer.Stop(); cancel(nil) }
}

// final says whether another attempt would end the same way.
func final(err error) bool {
	if errors.Is(err, ErrNoNix) {
		return true
	}
	var e *Error
	if !asError(err, &e) {
		return false
	}
	for _, text := range []string{
		"lacks a signature by a trusted key", "lacks a valid signature", "is not allowed to connect to the Nix daemon",
		"No space left on device", "disk full", "is not valid", "experimental Nix feature", "unrecognised flag", "not found",
	} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// storeArgs is the environment and the URL under which nix reaches a store:
// none for the local one. nix execs `ssh` from PATH, and there it is nixmesh.
func (t *Tool) storeArgs(s Store) (env []string, url string) {
	if s.Host == "" {
		return nil, ""
	}
	env = []string{"PATH=" + t.ShimDir + ":" + os.Getenv("PATH"), "NIXMESH_BRIDGE=" + s.Socket, "NIX_SSHOPTS="}
	return env, "ssh-ng://nixmesh-" + s.Host + "?max-connections=1&compress=false"
}

// BuildOn builds a derivation on a host (build_on = "target"): its closure is
// copied, the host's own daemon builds. The result is the output's path there.
func (t *Tool) BuildOn(ctx context.Context, drv string, o CopyOptions, ev func(Event)) (string, error) {
	o.Paths, o.Derivations = []string{drv}, true
	if err := t.Copy(ctx, o, ev); err != nil {
		return "", err
	}
	env, url := t.storeArgs(Store{Host: o.Host, Socket: o.Socket})
	out, err := t.run(ctx, call{
		doing: "build on " + o.Host, env: env,
		args: t.nix("build", "--store", url, "--eval-store", "auto", "--no-link", "--print-out-paths", drv+"^out"),
		events: func(e Event) {
			if ev != nil {
				e.Host = o.Host
				ev(e)
			}
		},
	})
	return strings.TrimSpace(string(out)), err
}
