// Package labuser dials from a lab host as one of its users, so that a test or a
// measurement speaks as a service does, and counts where it happens.
package labuser

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// dialTimeout bounds one connection.
const dialTimeout = 10 * time.Second

// User is a user of a lab host. The kernel takes what it dials for that user's, and
// names are those of the host.
type User struct {
	PID int // of the host's process 1, in this machine's numbers
	UID int
}

// Find looks a user up by name, such as nm-web.
func Find(pid int, name string) (User, error) {
	users, err := User{PID: pid}.read("/etc/passwd")
	if err != nil {
		return User{}, fmt.Errorf("find user %s: %w", name, err)
	}
	for line := range strings.Lines(string(users)) {
		if words := strings.Split(line, ":"); words[0] == name && len(words) > 2 {
			uid, err := strconv.Atoi(words[2])
			return User{pid, uid}, err
		}
	}
	return User{}, fmt.Errorf("find user %s: the host has none", name)
}

// path is a file of the host, as this machine sees it.
func (u User) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(u.PID), "root", name)
}

// DialContext opens a connection as the user. An address of "unix" is a socket's
// path on the host, which is opened as this process's user.
func (u User) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "unix" {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, u.path(address))
	}
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if name, err = u.resolve(name); err != nil {
		return nil, err
	}
	return In(u.PID, func() (net.Conn, error) {
		// The thread's own, which ends with it: who opens a socket is who owns it.
		if _, err := unix.SetfsuidRetUid(u.UID); err != nil {
			return nil, fmt.Errorf("become user %d: %w", u.UID, err)
		}
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, net.JoinHostPort(name, port))
	})
}

// read gives a file of the host. Links are followed as the host would.
func (u User) read(name string) ([]byte, error) {
	root, err := unix.Open(u.path("/"), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: u.path("/"), Err: err}
	}
	defer unix.Close(root) //nolint:errcheck // only read
	fd, err := unix.Openat2(root, name, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: u.path(name), Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(f)
}

// resolve looks a name up in the host's /etc/hosts.
func (u User) resolve(name string) (string, error) {
	if _, err := netip.ParseAddr(name); err == nil {
		return name, nil
	}
	hosts, err := u.read("/etc/hosts")
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", name, err)
	}
	for line := range strings.Lines(string(hosts)) {
		words := strings.Fields(line)
		for _, n := range words[min(1, len(words)):] {
			if n == name {
				return words[0], nil
			}
		}
	}
	return "", fmt.Errorf("resolve %s: the host's /etc/hosts has no such name", name)
}

// Client speaks HTTP/1.1, or HTTP/2 without TLS, as the user, and keeps connections.
func (u User) Client(h2 bool) *http.Client {
	t := &http.Transport{DialContext: u.DialContext, Protocols: &http.Protocols{}, MaxIdleConnsPerHost: 64, DisableCompression: true}
	t.Protocols.SetHTTP1(!h2)
	t.Protocols.SetUnencryptedHTTP2(h2)
	return &http.Client{Transport: t, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// In runs something in the network of a process, with a thread of its own. A socket
// stays where it was opened.
func In[T any](pid int, open func() (T, error)) (opened T, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		var ns *os.File
		if ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", pid)); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			opened, err = open()
		}
	}()
	<-done
	return opened, err
}
