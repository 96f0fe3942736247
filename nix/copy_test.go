package nix

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/trust"
)

// target is a host with a store of its own, whose daemon does not trust us and
// knows one key. Its sshd is in this process, its nix-daemon is the real one.
type target struct {
	root   string
	socket string
	key    trust.NixKey
	// cut ends the daemon of the next session after so many bytes towards it.
	cut  atomic.Int64
	conn *remote.Conn
}

func newTarget(t *testing.T, tool *Tool) *target {
	t.Helper()
	key, err := trust.GenerateNixKey("anna-1")
	if err != nil {
		t.Fatal(err)
	}
	h := &target{root: t.TempDir(), key: key}
	login, err := trust.GenerateSSHKey("anna")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id")
	if err := login.Save(file); err != nil {
		t.Fatal(err)
	}
	wrap := testkit.Nix(t, labWrap)
	server := testkit.NewSSHServer(t)
	server.Authorized = []string{login.Authorized}
	server.Exec = func(s *testkit.Session) int {
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		go func() { <-s.Killed; stop() }()
		command := strings.Fields(s.Line)
		if command[0] == "nix-daemon" && h.root != "" {
			command = append(command, "--option", "store", "local?root="+h.root)
		}
		daemon := wrap(ctx, append(os.Environ(), "NIX_CONFIG=extra-experimental-features = daemon-trust-override\ntrusted-public-keys = "+key.Public()), command...)
		in, _ := daemon.StdinPipe()
		daemon.Stdout, daemon.Stderr = s.Stdout, s.Stderr
		if err := daemon.Start(); err != nil {
			io.WriteString(s.Stderr, err.Error())
			return 127
		}
		go func() {
			defer in.Close()
			if limit := h.cut.Swap(0); limit > 0 {
				io.CopyN(in, s.Stdin, limit)
				stop()
				return
			}
			io.Copy(in, s.Stdin)
		}()
		_ = daemon.Wait()
		return max(daemon.ProcessState.ExitCode(), 0)
	}
	server.Start(t)
	h.conn, err = remote.Dial(t.Context(), server.Target("deploy", file), remote.Options{AgentSocket: "none", Timeout: 2 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.conn.Close() })
	h.socket, err = h.conn.Bridge(t.Context(), "nix-daemon --stdio --force-untrusted")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tool.ShimDir = t.TempDir()
	if err := WriteShim(tool.ShimDir, self); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *target) options(paths ...string) CopyOptions {
	return CopyOptions{Host: "app1", Socket: h.socket, Paths: paths, Reason: h.conn.BridgeError}
}

func TestCopyNeedsASignatureAndSurvivesACut(t *testing.T) {
	ctx := t.Context()
	tool := realTool(t)
	f := newFleet(t, tool, map[string]string{"a.nix": `"${./big}"`})
	f.write("big", time.Now().String()+strings.Repeat("0123456789abcdef", 1<<18))
	f.host("app1", "", "a.nix")
	r := f.build("app1")["app1"]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	h := newTarget(t, tool)

	retries := 0
	var bytes, of int64
	watch := func(e Event) {
		switch e.Kind {
		case EventRetry:
			retries++
		case EventProgress:
			bytes, of = max(bytes, e.Bytes), max(of, e.OfBytes)
		}
	}
	err := tool.Copy(ctx, h.options(r.Toplevel), watch)
	if err == nil || !strings.Contains(err.Error(), "lacks a signature by a trusted key") || retries != 0 {
		t.Fatalf("unsigned: %v, %d retries", err, retries)
	}
	if e, ok := remote.Explain(err.Error()); !ok || !strings.Contains(e.Means, "nix key") {
		t.Errorf("explained as %+v", e)
	}

	keyFile := filepath.Join(t.TempDir(), "nix.key")
	if err := h.key.Save(keyFile); err != nil {
		t.Fatal(err)
	}
	if err := tool.Sign(ctx, keyFile, r.Toplevel); err != nil {
		t.Fatal(err)
	}
	h.cut.Store(400) // within the handshake or the first path: the big one came with the first attempt
	began := time.Now()
	if err := tool.Copy(ctx, h.options(r.Toplevel), watch); err != nil {
		t.Fatal(err)
	}
	t.Logf("cut and copied in %s, %d retries, %d of %d bytes", time.Since(began), retries, bytes, of)
	if retries != 1 || bytes < 4<<20 || of < 4<<20 {
		t.Errorf("%d retries, %d of %d bytes", retries, bytes, of)
	}
	there, err := tool.PathInfoOn(ctx, Store{Host: "app1", Socket: h.socket}, r.Toplevel)
	if err != nil {
		t.Fatal(err)
	}
	here, err := tool.PathInfo(ctx, r.Toplevel)
	if err != nil || Fingerprint(here) != Fingerprint(there) || len(there.Signatures) != 1 || !VerifyPath(h.key.Public(), there.Signatures[0], here) {
		t.Errorf("here %+v (%v), there %+v", here, err, there)
	}
	began = time.Now()
	if err := tool.Copy(ctx, h.options(r.Toplevel), nil); err != nil {
		t.Error(err)
	}
	t.Logf("copy of nothing in %s", time.Since(began))
}

func TestCopyWatchdog(t *testing.T) {
	tool := realTool(t)
	f := newFleet(t, tool, map[string]string{"a.nix": `"a"`})
	f.host("app1", "", "a.nix")
	top := f.build("app1")["app1"].Toplevel
	h := newTarget(t, tool)
	silent, err := h.conn.Bridge(t.Context(), "sleep 600")
	if err != nil {
		t.Fatal(err)
	}
	o := h.options(top)
	o.Socket, o.Watchdog, o.Attempts = silent, 300*time.Millisecond, 1
	began := time.Now()
	err = tool.Copy(t.Context(), o, nil)
	if err == nil || !strings.Contains(err.Error(), "no progress for 300ms") || time.Since(began) > time.Minute {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestCopySaysWhyTheHostHasNoDaemon(t *testing.T) {
	tool := realTool(t)
	f := newFleet(t, tool, map[string]string{"a.nix": `"a"`})
	f.host("app1", "", "a.nix")
	top := f.build("app1")["app1"].Toplevel
	h := newTarget(t, tool)
	missing, err := h.conn.Bridge(t.Context(), "no-such-program --stdio")
	if err != nil {
		t.Fatal(err)
	}
	o := h.options(top)
	o.Socket = missing
	o.Attempts = 1
	if err := tool.Copy(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "on the host:") {
		t.Errorf("%v", err)
	}
}

func TestBuildOnTheTarget(t *testing.T) {
	tool := realTool(t)
	f := newFleet(t, tool, map[string]string{"a.nix": `"` + time.Now().String() + `"`})
	f.host("app1", "", "a.nix")
	if err := f.w.Prepare(t.Context(), f.flake(), f.hosts, f.nixmesh); err != nil {
		t.Fatal(err)
	}
	results, err := f.w.Build(t.Context(), []string{"app1"}, BuildOptions{EvaluateOnly: []string{"app1"}}, nil)
	if err != nil || results["app1"].Err != nil {
		t.Fatal(err, results["app1"].Err)
	}
	r := results["app1"]
	h := newTarget(t, tool)
	h.root = "" // to build in a store below a folder nix needs a sandbox: here the host's store is ours
	got, err := tool.BuildOn(t.Context(), r.Drv, h.options(), nil)
	if err != nil || got != r.Toplevel {
		t.Errorf("BuildOn = %q, %v; want %s", got, err, r.Toplevel)
	}
	info, err := tool.PathInfoOn(t.Context(), Store{Host: "app1", Socket: h.socket}, r.Toplevel)
	if err != nil || !VerifyPath(h.key.Public(), SignPath(h.key, info), info) {
		t.Errorf("%+v, %v", info, err)
	}
}
