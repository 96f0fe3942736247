package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit"
	"github.com/nixmesh/nixmesh/remote"
	"github.com/nixmesh/nixmesh/trust"
)

// login is a key file and its public line.
func login(t *testing.T) (file, public string) {
	t.Helper()
	k, err := trust.GenerateSSHKey("anna")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "id")
	if err := k.Save(file); err != nil {
		t.Fatal(err)
	}
	return file, k.Authorized
}

// patience bounds every wait for a condition. How soon one comes about is no
// claim of these tests.
const patience = 2 * time.Minute

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func noAgent() remote.Options { return remote.Options{AgentSocket: "none", Timeout: patience} }

// serve starts a server that runs exec and returns a connection to it.
func serve(t *testing.T, o remote.Options, exec func(*testkit.Session) int) (*testkit.SSHServer, *remote.Conn) {
	t.Helper()
	file, public := login(t)
	s := testkit.NewSSHServer(t)
	s.Authorized, s.Exec = []string{public}, exec
	s.Start(t)
	c, err := remote.Dial(t.Context(), s.Target("deploy", file), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return s, c
}

func TestRunKeepsStreamsApartAndReturnsTheStatus(t *testing.T) {
	_, c := serve(t, noAgent(), func(s *testkit.Session) int {
		in, _ := io.ReadAll(s.Stdin)
		io.WriteString(s.Stdout, "out:"+s.Line+":"+s.User+":"+string(in))
		io.WriteString(s.Stderr, "err")
		return 6
	})
	var stdout, stderr bytes.Buffer
	status, err := c.Run(t.Context(), remote.Command{Line: "x y", Stdin: strings.NewReader("in"), Stdout: &stdout, Stderr: &stderr})
	if status != 6 || err != nil || stdout.String() != "out:x y:deploy:in" || stderr.String() != "err" {
		t.Errorf("Run = %d, %v, %q, %q", status, err, &stdout, &stderr)
	}
	if _, err := c.Output(t.Context(), "x", nil); err == nil || !strings.Contains(err.Error(), "status 6: err") {
		t.Errorf("Output = %v", err)
	}
}

func TestRunLargeInputToACommandThatReadsNone(t *testing.T) {
	_, c := serve(t, noAgent(), func(*testkit.Session) int { return 0 })
	status, err := c.Run(t.Context(), remote.Command{Line: "true", Stdin: bytes.NewReader(make([]byte, 8<<20))})
	if status != 0 || err != nil {
		t.Errorf("Run = %d, %v", status, err)
	}
}

func TestRunTellsAnUnknownStatus(t *testing.T) {
	_, c := serve(t, noAgent(), func(s *testkit.Session) int {
		switch s.Line {
		case "none":
			return testkit.NoStatus
		case "drop":
			s.Drop()
		}
		return testkit.Hang
	})
	if status, err := c.Run(t.Context(), remote.Command{Line: "none"}); status != -1 || !errors.Is(err, remote.ErrLost) {
		t.Errorf("no status: %d, %v", status, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Run(ctx, remote.Command{Line: "hang"}); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, remote.ErrLost) {
		t.Errorf("deadline: %v", err)
	}
	if _, err := c.Run(t.Context(), remote.Command{Line: "drop"}); !errors.Is(err, remote.ErrLost) {
		t.Errorf("drop: %v", err)
	}
	select {
	case <-c.Lost():
	case <-time.After(patience):
		t.Error("Lost stays open")
	}
	if _, err := c.Run(t.Context(), remote.Command{Line: "x"}); !errors.Is(err, remote.ErrLost) {
		t.Errorf("after the drop: %v", err)
	}
}

func TestKeepAliveFindsADeafHost(t *testing.T) {
	file, public := login(t)
	s := testkit.NewSSHServer(t)
	s.Authorized, s.DeafKeepAlive = []string{public}, true
	s.Exec = func(*testkit.Session) int { return testkit.Hang }
	s.Start(t)
	c, err := remote.Dial(t.Context(), s.Target("deploy", file), remote.Options{AgentSocket: "none", KeepAlive: 30 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Run(t.Context(), remote.Command{Line: "x"}); !errors.Is(err, remote.ErrLost) || !strings.Contains(err.Error(), "no answer for") {
		t.Errorf("Run = %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	file, public := login(t)
	other, _ := login(t)
	s := testkit.NewSSHServer(t)
	s.Authorized = []string{public}
	s.Start(t)

	wrong := s.Target("deploy", file)
	k, _ := trust.GenerateSSHKey("x")
	wrong.HostKey = k.Authorized
	_, err := remote.Dial(t.Context(), wrong, noAgent())
	var hostKey *remote.HostKeyError
	if !errors.As(err, &hostKey) {
		t.Fatalf("wrong host key: %v", err)
	}
	want, _ := remote.Fingerprint(wrong.HostKey)
	got, _ := remote.Fingerprint(s.HostKey)
	if hostKey.Want != want || hostKey.Got != got || !strings.Contains(hostKey.Next(), "nixmesh host trust app1 --fingerprint "+got) {
		t.Errorf("wrong host key: %+v, %s", hostKey, hostKey.Next())
	}

	unpinned := s.Target("deploy", file)
	unpinned.HostKey = ""
	if _, err := remote.Dial(t.Context(), unpinned, noAgent()); !errors.Is(err, remote.ErrNoPin) {
		t.Errorf("no pin: %v", err)
	}

	var auth *remote.AuthError
	if _, err := remote.Dial(t.Context(), s.Target("deploy", other), noAgent()); !errors.As(err, &auth) || len(auth.Offered) != 1 || !strings.Contains(auth.Offered[0], other) {
		t.Errorf("unknown key: %v", err)
	}
	if _, err := remote.Dial(t.Context(), s.Target("deploy"), noAgent()); !errors.Is(err, remote.ErrNoKey) {
		t.Errorf("no key: %v", err)
	}

	var dial *remote.DialError
	silent := testkit.NewSSHServer(t)
	silent.Silent = true
	silent.Start(t)
	short := remote.Options{AgentSocket: "none", Timeout: 200 * time.Millisecond}
	if _, err := remote.Dial(t.Context(), silent.Target("deploy", file), short); !errors.As(err, &dial) || !strings.Contains(dial.What, "no answer") {
		t.Errorf("silent: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := remote.Dial(ctx, silent.Target("deploy", file), noAgent()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}

	l, _ := net.Listen("tcp", "127.0.0.1:0")
	refused := s.Target("deploy", file)
	refused.Port = l.Addr().(*net.TCPAddr).Port
	l.Close()
	if _, err := remote.Dial(t.Context(), refused, noAgent()); !errors.As(err, &dial) || dial.What != "connection refused" {
		t.Errorf("refused: %v", err)
	}
}

// A host that takes a connection and does not speak in time may only have been busy.
func TestDialAsksABusyHostTwice(t *testing.T) {
	t.Parallel()
	file, public := login(t)
	s := testkit.NewSSHServer(t)
	s.Authorized = []string{public}
	s.Start(t)
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		for first := true; ; first = false {
			conn, err := front.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				if first {
					_, _ = io.Copy(io.Discard, conn) // until the client gives up
					return
				}
				back, err := net.Dial("tcp", s.Addr)
				if err != nil {
					t.Error(err)
					return
				}
				defer back.Close()
				go func() {
					_, _ = io.Copy(back, conn)
					_ = back.Close()
				}()
				_, _ = io.Copy(conn, back)
			})
		}
	})
	target := s.Target("deploy", file)
	target.Port = front.Addr().(*net.TCPAddr).Port
	c, err := remote.Dial(t.Context(), target, remote.Options{AgentSocket: "none"})
	if err == nil {
		err = c.Close()
	}
	if err != nil {
		t.Error(err)
	}
	front.Close()
	wg.Wait()
}

func TestScanHostKey(t *testing.T) {
	s := testkit.NewSSHServer(t)
	s.Start(t)
	target := s.Target("deploy")
	target.HostKey = ""
	got, err := remote.ScanHostKey(t.Context(), target, noAgent())
	if err != nil || got != strings.TrimSuffix(s.HostKey, " host") {
		t.Errorf("ScanHostKey = %q, %v; want %q", got, err, s.HostKey)
	}
}

func TestJumpHostIsVerifiedByKnownHosts(t *testing.T) {
	file, public := login(t)
	jump, s := testkit.NewSSHServer(t), testkit.NewSSHServer(t)
	jump.Authorized, s.Authorized = []string{public}, []string{public}
	s.Exec = func(*testkit.Session) int { return 3 }
	jump.Start(t)
	s.Start(t)
	known := filepath.Join(t.TempDir(), "known_hosts")
	target := s.Target("deploy", file)
	target.Jump = "anna@" + jump.Addr
	o := remote.Options{AgentSocket: "none", KnownHosts: []string{known}}

	if _, err := remote.Dial(t.Context(), target, o); err == nil || !strings.Contains(err.Error(), "known_hosts has no key") {
		t.Errorf("unknown jump host: %v", err)
	}
	host, port, _ := net.SplitHostPort(jump.Addr)
	os.WriteFile(known, []byte("["+host+"]:"+port+" "+jump.HostKey+"\n"), 0o600)
	c, err := remote.Dial(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := c.Run(t.Context(), remote.Command{Line: "x"}); status != 3 || err != nil {
		t.Errorf("Run = %d, %v", status, err)
	}
	c.Close()
	os.WriteFile(known, []byte("["+host+"]:"+port+" "+s.HostKey+"\n"), 0o600)
	var key *remote.HostKeyError
	if _, err := remote.Dial(t.Context(), target, o); !errors.As(err, &key) || !key.Jump {
		t.Errorf("changed jump host: %v", err)
	}
}

func TestBridgeAndShim(t *testing.T) {
	o := noAgent()
	o.BridgeGrace = time.Minute // none of the sessions is to be killed
	s, c := serve(t, o, func(s *testkit.Session) int {
		if s.Line == "echo" {
			io.Copy(s.Stdout, s.Stdin)
			return 0
		}
		io.WriteString(s.Stderr, "nix-daemon: not found")
		return 127
	})
	ctx, cancel := context.WithCancel(t.Context())
	socket, err := c.Bridge(ctx, "echo")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{remote.BridgeEnv + "=" + socket}
	payload := strings.Repeat("nix protocol ", 1<<16)
	var out bytes.Buffer
	args := []string{"nixmesh-app1", "-x", "-oPermitLocalCommand=yes", "-oLocalCommand=echo started", "--", "nix-daemon", "--stdio"}
	if status := remote.Shim(args, env, strings.NewReader(payload), &out); status != 0 || out.String() != "started\n"+payload {
		t.Errorf("Shim = %d, %d bytes", status, out.Len())
	}
	if status := remote.Shim([]string{"-O", "check", "nixmesh-app1"}, env, nil, &out); status != 255 {
		t.Errorf("-O check = %d", status)
	}
	if len(s.Signals()) != 0 {
		t.Errorf("a session that ended by itself got %v", s.Signals())
	}
	failing, err := c.Bridge(ctx, "fail")
	if err != nil {
		t.Fatal(err)
	}
	remote.Shim(args, []string{remote.BridgeEnv + "=" + failing}, strings.NewReader(""), &out)
	if !strings.Contains(c.BridgeError(), "nix-daemon: not found") {
		t.Errorf("BridgeError = %q", c.BridgeError())
	}
	cancel()
	until(t, "the bridge's folder goes with it", func() bool {
		_, err := os.Stat(filepath.Dir(socket))
		return os.IsNotExist(err)
	})
}

func TestBridgeKillsASessionThatOutlivesItsInput(t *testing.T) {
	s, c := serve(t, noAgent(), func(s *testkit.Session) int {
		io.Copy(io.Discard, s.Stdin)
		<-s.Killed
		return 137
	})
	socket, err := c.Bridge(t.Context(), "nix-daemon --stdio")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	var out bytes.Buffer
	remote.Shim(nil, []string{remote.BridgeEnv + "=" + socket}, strings.NewReader(""), &out)
	if took := time.Since(began); took < remote.BridgeGrace {
		t.Errorf("ended after %s", took)
	}
	until(t, "the session is killed", func() bool { return len(s.Signals()) > 0 })
	if got := s.Signals(); len(got) != 1 || got[0] != "KILL" {
		t.Errorf("signals %v", got)
	}
}

func TestQuote(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain-1.2/x", "plain-1.2/x"}, {"", "''"}, {"a b", "'a b'"}, {"it's", `'it'\''s'`}, {"A=b", "'A=b'"}, {"~", "'~'"}, {"$(x)", "'$(x)'"},
	} {
		if got := remote.Quote(c.in); got != c.want {
			t.Errorf("Quote(%q) = %s, want %s", c.in, got, c.want)
		}
	}
}

func TestExplain(t *testing.T) {
	for text, want := range map[string]string{
		"error: cannot add path '/nix/store/x' because it lacks a signature by a trusted key": "nix key",
		"sudo: a password is required":                    "sudo",
		"cp: /boot/x: No space left on device":            "boot partition",
		"error: writing to file: No space left on device": "disk is full",
		"bash: line 1: nix-daemon: command not found":     "no nix",
		"error: unexpected end-of-file":                   "ended early",
	} {
		if e, ok := remote.Explain(text); !ok || !strings.Contains(e.Means, want) || e.Next == "" {
			t.Errorf("Explain(%q) = %+v", text, e)
		}
	}
	if _, ok := remote.Explain("something else"); ok {
		t.Error("an unknown text is explained")
	}
}
