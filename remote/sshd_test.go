package remote_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/trust"
)

// The tests here run against OpenSSH's own server.

func dialSSHD(t *testing.T, target remote.Target) *remote.Conn {
	t.Helper()
	c, err := remote.Dial(t.Context(), target, noAgent())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestOpenSSHStatusAndStreams(t *testing.T) {
	c := dialSSHD(t, testkit.SSHD(t, labWrap))
	for line, want := range map[string]int{"true": 0, "exit 6": 6, "kill -9 $$": 137, "no-such-program": 127} {
		if status, err := c.Run(t.Context(), remote.Command{Line: remote.ShellLine(line)}); status != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", line, status, err, want)
		}
	}
	var stdout, stderr bytes.Buffer
	status, err := c.Run(t.Context(), remote.Command{Line: "cat; echo e >&2", Stdin: strings.NewReader(strings.Repeat("x", 1<<20)), Stdout: &stdout, Stderr: &stderr})
	if status != 0 || err != nil || stdout.Len() != 1<<20 || stderr.String() != "e\n" {
		t.Errorf("%d, %v, %d bytes, %q", status, err, stdout.Len(), &stderr)
	}
	odd := "it's $HOME \"x\" \\ *"
	if out, err := c.Output(t.Context(), "printf %s "+remote.Quote(odd), nil); err != nil || string(out) != odd {
		t.Errorf("quoted %q, %v", out, err)
	}
}

func TestOpenSSHCancelKillsTheCommand(t *testing.T) {
	c := dialSSHD(t, testkit.SSHD(t, labWrap))
	mark := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		defer cancel()
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if b, err := os.ReadFile(mark); err == nil && bytes.HasSuffix(b, []byte("\n")) {
				return
			}
		}
	}()
	_, err := c.Run(ctx, remote.Command{Line: "echo $$ > " + remote.Quote(mark) + "; exec sleep 100"})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Run = %v", err)
	}
	pid, err := os.ReadFile(mark)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the command ends", func() bool {
		_, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)))
		return os.IsNotExist(err)
	})
}

func TestOpenSSHAgentServesTheKeyOfAnEncryptedFile(t *testing.T) {
	target := testkit.SSHD(t, labWrap)
	agentSocket := startAgent(t)
	add := exec.Command("ssh-add", "-q", target.KeyFiles[0])
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+agentSocket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v: %s", err, out)
	}
	lock := exec.Command("ssh-keygen", "-q", "-p", "-N", "secret", "-f", target.KeyFiles[0])
	if out, err := lock.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	_, err := remote.Dial(t.Context(), target, noAgent())
	if err == nil || !strings.Contains(err.Error(), "is encrypted: add it to the SSH agent with: ssh-add") {
		t.Errorf("encrypted key without agent: %v", err)
	}
	c, err := remote.Dial(t.Context(), target, remote.Options{AgentSocket: agentSocket, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if status, err := c.Run(t.Context(), remote.Command{Line: "exit 3"}); status != 3 || err != nil {
		t.Errorf("Run = %d, %v", status, err)
	}
	t.Setenv("SSH_AUTH_SOCK", agentSocket)
	keys, err := remote.Signers(t.Context(), target.KeyFiles)
	if err != nil || len(keys) != 1 || !keys[0].Agent {
		t.Fatalf("Signers = %v, %v", keys, err)
	}
	sig, err := trust.Sign(keys[0], trust.NamespaceRelease, []byte("release 42"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust.Verify(sig, trust.NamespaceRelease, []byte("release 42"), []string{keys[0].AuthorizedKey()}); err != nil {
		t.Error(err)
	}
}

func startAgent(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("ssh-agent")
	if err != nil {
		t.Skip("ssh-agent is not installed")
	}
	socket := filepath.Join(t.TempDir(), "agent")
	cmd := exec.Command(path, "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	until(t, "ssh-agent listens", func() bool {
		_, err := os.Stat(socket)
		return err == nil
	})
	return socket
}

func TestOpenSSHConfigIsHonoured(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("ssh is not installed")
	}
	target := testkit.SSHD(t, labWrap)
	key := target.KeyFiles[0]
	// OpenSSH reads ~ from the password database, so the test cannot write
	// ~/.ssh/config; a program in front of ssh adds the file.
	dir := t.TempDir()
	config := filepath.Join(dir, "config")
	os.WriteFile(config, []byte("Host app1\n  IdentityFile "+key+"\n  ProxyJump bastion\n"), 0o600)
	ssh, _ := exec.LookPath("ssh")
	testkit.WriteProgram(t, filepath.Join(dir, "ssh"), []byte("#!/bin/sh\nexec "+ssh+" -F "+config+" \"$@\"\n"))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	target.NoConfig, target.KeyFiles = false, nil
	if _, err := remote.Dial(t.Context(), target, noAgent()); err == nil || !strings.Contains(err.Error(), "bastion") {
		t.Errorf("ProxyJump of the configuration is ignored: %v", err)
	}
	target.Jump = "none"
	c, err := remote.Dial(t.Context(), target, noAgent())
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
