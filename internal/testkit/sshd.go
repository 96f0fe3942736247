package testkit

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/trust"
)

// SSHD is the real OpenSSH server on 127.0.0.1 for the user who runs the test;
// it returns how to log in. The server of this machine is taken, else the one
// that the program of NixEnv runs, else the lab's. It gets connections that are
// there already, each in a process of its own, so that no other program can take
// its port before it listens. extra are lines of sshd_config.
func SSHD(t *testing.T, lab func(*testing.T) Wrap, extra ...string) remote.Target {
	t.Helper()
	run, path := findSSHD(t, lab)
	dir := t.TempDir()
	host := saveKey(t, dir, "host")
	saveKey(t, dir, "login")
	config := append([]string{
		"HostKey " + filepath.Join(dir, "host"),
		"AuthorizedKeysFile " + filepath.Join(dir, "login.pub"), "StrictModes no", "UsePAM no", "PidFile none",
		"PasswordAuthentication no", "PermitRootLogin prohibit-password", "LogLevel ERROR",
	}, extra...)
	file := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.AcceptTCP()
			if err != nil {
				return
			}
			socket, err := conn.File()
			_ = conn.Close()
			if err != nil {
				t.Error(err)
				return
			}
			cmd := run(ctx, os.Environ(), path, "-i", "-e", "-f", file)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = socket, socket, log
			err = cmd.Start()
			_ = socket.Close()
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if err != nil {
				return
			}
			wg.Go(func() { _ = cmd.Wait() }) // how a session ends is the client's to judge
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		cancel()
		wg.Wait()
		_ = log.Close()
		if said, err := os.ReadFile(log.Name()); t.Failed() && err == nil && len(said) > 0 {
			t.Logf("sshd: %s", said)
		}
	})
	user := os.Getenv("USER")
	if os.Getuid() == 0 {
		user = "root"
	}
	return remote.Target{Name: "app1", Address: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, User: user, HostKey: host.Authorized,
		KeyFiles: []string{filepath.Join(dir, "login")}, NoConfig: true}
}

func findSSHD(t *testing.T, lab func(*testing.T) Wrap) (run Wrap, path string) {
	t.Helper()
	for _, p := range []string{"/usr/sbin/sshd", "/run/current-system/sw/bin/sshd"} {
		if _, err := os.Stat(p); err == nil && os.Getenv(NixEnv) == "" {
			return program(t, p, lab), p
		}
	}
	if os.Getuid() != 0 {
		t.Skip("sshd is not installed, and another root's can be used by root only")
	}
	run = program(t, "sshd", lab)
	// sshd wants its privilege separation folder.
	if out, err := run(t.Context(), os.Environ(), "mkdir", "-p", "/run/sshd").CombinedOutput(); err != nil {
		t.Skipf("prepare sshd: %v: %s", err, out)
	}
	return run, "/usr/sbin/sshd"
}

func saveKey(t *testing.T, dir, name string) trust.SSHKey {
	t.Helper()
	k, err := trust.GenerateSSHKey(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Save(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return k
}
