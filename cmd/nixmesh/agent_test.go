package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/controlplane/gossip"
	"github.com/nixmesh/nixmesh/trust"
)

// agentApp is a process's surroundings as systemd makes them.
func agentApp(env map[string]string) *app {
	return &app{
		stdin: strings.NewReader(""), stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{},
		getenv: func(name string) string { return env[name] }, now: time.Now,
	}
}

// From the host's SSH key to an agent that answers, is known to systemd, and stops.
func TestAgentCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(file(name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hostKey, err := trust.GenerateSSHKey("")
	if err != nil {
		t.Fatal(err)
	}
	write("hostkey", hostKey.Private)
	if err := runHostNodekey(agentApp(nil), nodekeyOptions{dir: file("node"), host: "db1", hostKey: file("hostkey")}); err != nil {
		t.Fatal(err)
	}
	write("gossip.key", gossip.NewKeyText())
	write("host.json", []byte(`{"schema":"nixmesh.host/1","fleet":"shop","host":"db1","nixmesh":{"protocol":1,"binary":"/nix/store/x/bin/nixmesh"},
		"rollout":{"confirm":"1m","settle":"0s","activate_timeout":"1m","last_resort":"hold"}}`))

	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: file("notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notify.Close()
	told := func() string {
		t.Helper()
		b := make([]byte, 1000)
		_ = notify.SetReadDeadline(time.Now().Add(2 * time.Minute))
		n, err := notify.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- runAgent(ctx, agentApp(map[string]string{"NOTIFY_SOCKET": file("notify")}), agentOptions{
			hostFile: file("host.json"), state: file("state"), runtime: file("run"), revoked: file("revoked"),
			nodeKey: file("node/node.key"), nodeCert: file("node/node.cert"), gossipKey: file("gossip.key"), log: "json",
		})
	}()
	if got := told(); !strings.HasPrefix(got, "READY=1\n") {
		t.Errorf("systemd is told %q", got)
	}
	if got := told(); !strings.HasPrefix(got, "WATCHDOG=1\n") {
		t.Errorf("systemd is told %q", got)
	}
	a := agentApp(nil)
	a.stdin = strings.NewReader("GET /v1/status HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")
	if err := runAgentConnect(t.Context(), a, file("run/api.sock")); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(a.stdout); !strings.HasPrefix(got, "HTTP/1.1 200 OK") || !strings.Contains(got, `"host":"db1"`) {
		t.Errorf("it answers %s", got)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for got := ""; got != "STOPPING=1"; got = told() {
	}
	if err := runAgentConnect(t.Context(), a, file("run/api.sock")); err == nil || !strings.Contains(err.Error(), "Next: systemctl status nixmesh-agent") {
		t.Errorf("without an agent: %v", err)
	}
}

// What is missing is named, by its flag or its file.
func TestAgentWithout(t *testing.T) {
	good := agentOptions{state: "state", nodeKey: "node.key", nodeCert: "node.cert", gossipKey: "gossip.key", log: "text"}
	for want, change := range map[string]func(o *agentOptions){
		"--state":                   func(o *agentOptions) { o.state = "" },
		"--node-key is missing":     func(o *agentOptions) { o.nodeKey = "" },
		"nixmesh-nodekey":           func(*agentOptions) {}, // there is no such file
		`log form "xml" is unknown`: func(o *agentOptions) { o.log = "xml" },
	} {
		t.Chdir(t.TempDir())
		o := good
		change(&o)
		if err := runAgent(t.Context(), agentApp(nil), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}

// A process that failed leaves word of it, one that was killed does not.
func TestWatchFailure(t *testing.T) {
	dir := t.TempDir()
	log, err := agentLogger(agentApp(nil), "text")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if watchFailure(dir, log) {
			t.Error("nothing failed")
		}
	}
	if err := os.WriteFile(filepath.Join(dir, crashFile), []byte("panic: a flaw"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !watchFailure(dir, log) || watchFailure(dir, log) {
		t.Error("one failed")
	}
	if b, err := os.ReadFile(filepath.Join(dir, crashFile+".last")); err != nil || string(b) != "panic: a flaw" {
		t.Errorf("kept %q, %v", b, err)
	}
}
