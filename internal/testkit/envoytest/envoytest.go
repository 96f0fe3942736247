// Package envoytest finds the real Envoy that tests start, and ports for it. Only tests
// import it.
package envoytest

import (
	"context"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nixmesh/nixmesh/lab"
)

// Binary is the path of an Envoy: that of NIXMESH_ENVOY, of PATH, or the lab's,
// which is fetched once. A test without one is skipped with the reason; where
// NIXMESH_TEST_LAB is "require" it fails.
func Binary(t testing.TB) string {
	t.Helper()
	return found(t, lab.Envoy)
}

// Oldest is the path of the oldest Envoy that hosts may have, which has to take what
// they are told, too. A test without one does as one without Binary.
func Oldest(t testing.TB) string {
	t.Helper()
	return found(t, lab.OldestEnvoy)
}

func found(t testing.TB, envoy func(context.Context, string, func(string)) (string, error)) string {
	t.Helper()
	path, err := envoy(t.Context(), "", func(line string) { t.Log(line) })
	if err == nil {
		return path
	}
	if os.Getenv("NIXMESH_TEST_LAB") == "require" {
		t.Fatal("no Envoy: ", err)
	}
	t.Skip("no Envoy: ", err)
	return ""
}

// FreePort is a TCP port of 127.0.0.1 that nobody else gets before the test has ended:
// it is held by a socket that does not listen, beside which an Envoy of the same user
// may. Others may listen on it at other addresses.
func FreePort(t testing.TB) int {
	t.Helper()
	held, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(held) })
	if err := unix.SetsockoptInt(held, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(held, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(held)
	if err != nil {
		t.Fatal(err)
	}
	return name.(*unix.SockaddrInet4).Port
}
