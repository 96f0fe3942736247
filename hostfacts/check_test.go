package hostfacts_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/internal/testkit"
)

// TestMain makes the test's binary its own child, as cmd/nixmesh does.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "host" && os.Args[2] == hostfacts.ChildVerb {
		os.Exit(hostfacts.ChildMain(os.Stdin, os.Stdout))
	}
	if len(os.Args) == 4 && os.Args[1] == "host" && os.Args[2] == hostfacts.ExecVerb {
		os.Exit(hostfacts.ExecMain(context.Background(), os.Getenv("FACTS"), os.Args[3], os.Stdout))
	}
	os.Exit(m.Run())
}

// serve answers on a port of its own until the test ends.
func serve(t *testing.T, h http.HandlerFunc, http2 bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	s := &http.Server{Handler: h, Protocols: protocols, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // ends with ErrServerClosed
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return l.Addr().String()
}

// patience ends a check that would hang for ever. Where a test is about a
// check's timeout, it sets one of its own.
const patience = 2 * time.Minute

func check(kind, address string) hostfacts.Check {
	return hostfacts.Check{
		Name: "web", Kind: kind, Address: address, User: "root",
		Timeout: hostfacts.Duration(patience), Rise: 1, Fall: 1,
	}
}

func run(c hostfacts.Check) hostfacts.Result {
	return hostfacts.RunCheck(context.Background(), c, hostfacts.Runner{})
}

func want(t *testing.T, got hostfacts.Result, ok bool, answer string) {
	t.Helper()
	if got.OK != ok || got.Answer != answer {
		t.Errorf("got %v %q, want %v %q", got.OK, got.Answer, ok, answer)
	}
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			fmt.Fprintf(w, "ok\n")
		case "/warming":
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "warming\tup\n"+strings.Repeat("x", 500))
		case "/moved":
			http.Redirect(w, r, "/healthz", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		}
	}, false)
	for _, test := range []struct {
		path   string
		ok     bool
		answer string
	}{
		{"/healthz", true, "GET /healthz 200: ok"},
		{"/warming", false, "GET /warming 503: warming up " + strings.Repeat("x", 189) + "…"},
		{"/moved", false, `GET /moved 302 to /healthz: <a href="/healthz">Found</a>.`},
		{"/slow", false, "GET /slow: no answer within 300ms"},
	} {
		c := check(hostfacts.CheckHTTP, address)
		c.Path = test.path
		if test.path == "/slow" {
			c.Timeout = hostfacts.Duration(300 * time.Millisecond)
		}
		want(t, run(c), test.ok, test.answer)
	}
}

func TestHTTP2WithoutUpgrade(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }, true)
	c := check(hostfacts.CheckHTTP, address)
	c.Path, c.HTTP2 = "/", true
	want(t, run(c), true, "GET / 200: HTTP/2.0")
}

func TestTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	want(t, run(check(hostfacts.CheckTCP, address)), true, "connected to "+address)
	defer l.Close()
	// A port that is surely nobody's to listen at: a connection's own.
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	own := conn.LocalAddr().String()
	want(t, run(check(hostfacts.CheckTCP, own)), false, "connect to "+own+": connection refused")
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		frame := make([]byte, 5)
		if _, err := r.Body.Read(frame); err != nil {
			t.Errorf("read frame: %v", err)
		}
		message := make([]byte, binary.BigEndian.Uint32(frame[1:]))
		if _, err := r.Body.Read(message); err != nil && len(message) > 0 && err.Error() != "EOF" {
			t.Errorf("read message: %v", err)
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status, Grpc-Message")
		switch name := strings.TrimPrefix(string(message), "\x0a\x03"); name {
		case "":
			_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, 1})
			w.Header().Set("Grpc-Status", "0")
		case "old":
			_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, 2})
			w.Header().Set("Grpc-Status", "0")
		default:
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "unknown service")
		}
	}, true)
	for name, result := range map[string]struct {
		ok     bool
		answer string
	}{
		"":    {true, "grpc health: SERVING"},
		"old": {false, "grpc health of old: NOT_SERVING"},
		"new": {false, "grpc health of new: gRPC status 5 unknown service"},
	} {
		c := check(hostfacts.CheckGRPC, address)
		c.GRPC = name
		want(t, run(c), result.ok, result.answer)
	}
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, true)
	want(t, run(check(hostfacts.CheckGRPC, plain)), false, "grpc health: HTTP status 404, so no gRPC server")
}

// A check's connection belongs to the service's user, as the kernel sees it.
func TestRunAsTheServicesUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("another user's child needs root")
	}
	var uid string
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) { uid = ownerOf(t, r) }, false)
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // another user has to reach it
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "nixmesh")
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	testkit.WriteProgram(t, exe, self)
	c := check(hostfacts.CheckHTTP, address)
	c.Path, c.User, c.UID = "/", "nm-nobody-of-this-name", 32123
	want(t, hostfacts.RunCheck(context.Background(), c, hostfacts.Runner{Exe: exe}), true, "GET / 200")
	if uid != "32123" {
		t.Errorf("the connection's owner is uid %s, want 32123", uid)
	}
	c.UID = -1
	got := hostfacts.RunCheck(context.Background(), c, hostfacts.Runner{Exe: exe})
	want(t, got, false, "find user nm-nobody-of-this-name of the check: user: unknown user nm-nobody-of-this-name")
}

// ownerOf is the uid column of the other end of a request's connection in
// /proc/net/tcp. Connections to other places may have the same local port.
func ownerOf(t *testing.T, r *http.Request) string {
	t.Helper()
	column := func(address string) string {
		a, err := netip.ParseAddrPort(address)
		if err != nil {
			t.Error(err)
		}
		ip := a.Addr().As4() // in the machine's order
		return fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), a.Port())
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		t.Error("the request has no local address")
		return ""
	}
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Error(err)
	}
	from, to := column(r.RemoteAddr), column(local.String())
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 7 && f[1] == from && f[2] == to {
			return f[7]
		}
	}
	return "not found"
}
