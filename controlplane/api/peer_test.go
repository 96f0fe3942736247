package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
)

// childSocket names the socket for a child process of a test, which asks as
// another user.
const childSocket = "NIXMESH_TEST_API_SOCKET"

// child reads and writes once, and says what came of it.
func child(socket string) int {
	c := agentapi.NewClient(func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	})
	for _, try := range []func() error{
		func() error { _, err := c.Status(context.Background()); return err },
		func() error { return c.Override(context.Background(), []byte("x")) },
	} {
		err := try()
		var f *agentapi.Failure
		switch {
		case err == nil:
			fmt.Println("ok")
		case errors.As(err, &f):
			fmt.Println(f.Status, f.Text)
		default:
			fmt.Println(err)
		}
	}
	return 0
}

// Who may write is root and the members of the socket's group, by whatever
// group they are in it, even where the file lets everybody in.
func TestWhoMayWrite(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can ask as somebody else")
	}
	const group, other = 41234, 41235
	_, socket := serve(t, &agent{}, nil)
	open(t, socket)
	if err := os.Chown(socket, other, group); err != nil {
		t.Fatal(err)
	}
	many := []uint32{}
	for i := range uint32(100) {
		many = append(many, 50000+i)
	}
	for name, c := range map[string]struct {
		cred  syscall.Credential
		write bool
	}{
		"root":              {syscall.Credential{}, true},
		"group":             {syscall.Credential{Uid: 41000, Gid: group}, true},
		"another group":     {syscall.Credential{Uid: 41000, Gid: 41000, Groups: []uint32{41001, group}}, true},
		"many groups":       {syscall.Credential{Uid: 41000, Gid: 41000, Groups: append(many, group)}, true},
		"nobody":            {syscall.Credential{Uid: 41000, Gid: 41000}, false},
		"many other groups": {syscall.Credential{Uid: 41000, Gid: 41000, Groups: many}, false},
		"the socket's user": {syscall.Credential{Uid: other, Gid: 41000}, false},
	} {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = []string{childSocket + "=" + socket}
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &c.cred}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		want := "ok\nok\n"
		if !c.write {
			want = "ok\n403 only root and members of the group of " + socket
		}
		if !strings.HasPrefix(string(out), want) {
			t.Errorf("%s: got %q, want %q", name, out, want)
		}
	}
}

// open lets everybody reach a socket.
func open(t *testing.T, socket string) {
	t.Helper()
	if err := os.Chmod(socket, 0o666); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(socket); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
