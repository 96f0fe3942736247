package guard

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// needKernel skips where a test may not have networks of its own, and fails
// where that was asked for.
func needKernel(t *testing.T) {
	t.Helper()
	why := ""
	if _, err := exec.LookPath("nft"); err != nil {
		why = err.Error()
	}
	if os.Geteuid() != 0 {
		why = "not root"
	}
	switch {
	case why == "":
	case os.Getenv("NIXMESH_TEST_LAB") == "require":
		t.Fatal("no network of our own: ", why)
	default:
		t.Skip("no network of our own: ", why)
	}
}

// network is a network namespace, for as long as a test.
type network struct{ ns *os.File }

func newNetwork(t testing.TB) *network {
	t.Helper()
	n := &network{}
	var err error
	onThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			n.ns, err = os.Open("/proc/thread-self/ns/net")
		}
	})
	if err != nil {
		t.Fatalf("make a network: %v", err)
	}
	t.Cleanup(func() { _ = n.ns.Close() })
	n.run(t, "ip", "link", "set", "lo", "up")
	// Any user may take any port: the table is what is tried.
	if err := n.do(func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

// onThread runs f on a thread that is thrown away after.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// do runs f in the network; what f starts is in it, too.
func (n *network) do(f func() error) (err error) {
	onThread(func() {
		if err = unix.Setns(int(n.ns.Fd()), unix.CLONE_NEWNET); err == nil {
			err = f()
		}
	})
	return err
}

// run runs a program in the network and gives what it printed.
func (n *network) run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.do(cmd.Run); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String()
}

// link puts both networks on one wire: 10.94.77.1 and fd00::1 here, .2 there.
func (n *network) link(t *testing.T, other *network) {
	t.Helper()
	n.run(t, "ip", "link", "add", "a0", "type", "veth", "peer", "name", "b0")
	n.run(t, "ip", "link", "set", "b0", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), other.ns.Fd()))
	for side, name := range map[*network]string{n: "a0", other: "b0"} {
		host := map[string]string{"a0": "1", "b0": "2"}[name]
		side.run(t, "ip", "address", "add", "10.94.77."+host+"/24", "dev", name)
		side.run(t, "ip", "address", "add", "fd00::"+host+"/64", "dev", name, "nodad")
		side.run(t, "ip", "link", "set", name, "up")
	}
}
