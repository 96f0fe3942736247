package testkit

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/trust"
)

// SSHD starts the real OpenSSH server on 127.0.0.1 for the user who runs the
// test, and returns how to log in. The server of this machine is taken, else
// the one that the program of NixEnv runs, else the lab's. extra are lines of
// sshd_config.
func SSHD(t *testing.T, lab func(*testing.T) Wrap, extra ...string) remote.Target {
	t.Helper()
	run, path := findSSHD(t, lab)
	dir := t.TempDir()
	host := saveKey(t, dir, "host")
	saveKey(t, dir, "login")
	port := freePort(t)
	config := append([]string{
		"Port " + strconv.Itoa(port), "ListenAddress 127.0.0.1", "HostKey " + filepath.Join(dir, "host"),
		"AuthorizedKeysFile " + filepath.Join(dir, "login.pub"), "StrictModes no", "UsePAM no", "PidFile none",
		"PasswordAuthentication no", "PermitRootLogin prohibit-password", "LogLevel ERROR",
	}, extra...)
	file := filepath.Join(dir, "sshd_config")
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := run(context.Background(), os.Environ(), path, "-D", "-e", "-f", file)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() && log.Len() > 0 {
			t.Logf("sshd: %s", log.String())
		}
	})
	awaitPort(t, port)
	user := os.Getenv("USER")
	if os.Getuid() == 0 {
		user = "root"
	}
	return remote.Target{Name: "app1", Address: "127.0.0.1", Port: port, User: user, HostKey: host.Authorized,
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

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func awaitPort(t *testing.T, port int) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("sshd does not listen")
}
