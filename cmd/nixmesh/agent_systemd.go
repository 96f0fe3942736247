package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// passedListeners are the sockets that systemd opened for this process, by their
// FileDescriptorName: sd_listen_fds_with_names(3).
func passedListeners(a *app) (map[string]net.Listener, error) {
	if a.getenv("LISTEN_PID") != fmt.Sprint(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(a.getenv("LISTEN_FDS"))
	names := strings.Split(a.getenv("LISTEN_FDNAMES"), ":")
	if err != nil || n < 1 || n != len(names) {
		return nil, fmt.Errorf("take the sockets of systemd: %q of them, named %q", a.getenv("LISTEN_FDS"), a.getenv("LISTEN_FDNAMES"))
	}
	const first = 3
	listeners := map[string]net.Listener{}
	for i, name := range names {
		file := os.NewFile(uintptr(first+i), name)
		listener, err := net.FileListener(file)
		_ = file.Close() // the listener has its own
		if err == nil && listeners[name] != nil {
			err = errors.Join(errors.New("there are two of them"), listener.Close())
		}
		if err != nil {
			for _, other := range listeners {
				err = errors.Join(err, other.Close())
			}
			return nil, fmt.Errorf("take the socket %s of systemd: %w", name, err)
		}
		listeners[name] = listener
	}
	return listeners, nil
}

// notifier tells systemd, by sd_notify(3): datagrams to a Unix socket.
func notifier(a *app, logger *slog.Logger) func(state string) {
	path := a.getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	return func(state string) {
		c, err := net.Dial("unixgram", path) // "@…" is an abstract one
		if err == nil {
			defer c.Close()
			_, err = c.Write([]byte(state))
		}
		if err != nil {
			logger.Warn("systemd not told", "err", err)
		}
	}
}

// crashFile is where the runtime writes how this process failed, in the state
// folder; the one of the process before is kept beside it.
const crashFile = "crash.log"

// watchFailure lets the runtime keep what it says when this process fails, and
// says whether the process before did. Who is killed from outside says nothing.
func watchFailure(dir string, logger *slog.Logger) (failed bool) {
	path := filepath.Join(dir, crashFile)
	info, err := os.Stat(path)
	failed = err == nil && info.Size() > 0
	if failed {
		err = os.Rename(path, path+".last")
		logger.Error("the agent before this one failed", "see", path+".last", "err", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		logger.Warn("failures are not kept", "err", err)
		return failed
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err == nil {
		defer file.Close() // the runtime has its own
		err = debug.SetCrashOutput(file, debug.CrashOptions{})
	}
	if err != nil {
		logger.Warn("failures are not kept", "err", err)
	}
	return failed
}
