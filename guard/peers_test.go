package guard

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain lets the test's binary be a user who listens or connects.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "as" {
		uid, err := strconv.Atoi(os.Args[2])
		if err == nil && uid != 0 {
			err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid))
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		words := strings.Fields(os.Args[4])
		if os.Args[3] == "listen" {
			listen(words[0], words[1])
		}
		answers := make([]string, len(words))
		var wg sync.WaitGroup
		for i, to := range words {
			part := strings.Split(to, "!")
			limit, err := time.ParseDuration(part[2])
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			wg.Go(func() { answers[i] = dial(part[0], netip.MustParseAddrPort(part[1]), limit) })
		}
		wg.Wait()
		fmt.Println(strings.Join(answers, "\n"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// open makes a socket for an address; IPv4 in IPv6 gets one of IPv6.
func open(kind int, address netip.AddrPort) (fd int, at unix.Sockaddr, err error) {
	if address.Addr().Is4() {
		fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, 0)
		return fd, &unix.SockaddrInet4{Port: int(address.Port()), Addr: address.Addr().As4()}, err
	}
	fd, err = unix.Socket(unix.AF_INET6, kind|unix.SOCK_CLOEXEC, 0)
	return fd, &unix.SockaddrInet6{Port: int(address.Port()), Addr: address.Addr().As16()}, err
}

// listen answers whoever connects with a line, until its input ends.
func listen(address, answer string) {
	fd, at, err := open(unix.SOCK_STREAM, netip.MustParseAddrPort(address))
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if _, is6 := at.(*unix.SockaddrInet6); is6 && err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err == nil {
		err = unix.Bind(fd, at)
	}
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listens")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	for {
		c, _, err := unix.Accept(fd)
		if err != nil {
			continue
		}
		_, _ = unix.Write(c, []byte(answer+"\n"))
		_ = unix.Close(c)
	}
}

// patience bounds every wait for what is to come about.
const patience = 2 * time.Minute

// dial says what came of it: the line that was answered, "refused", "silent",
// or the kernel's error.
func dial(network string, address netip.AddrPort, limit time.Duration) string {
	kind := unix.SOCK_STREAM
	if network == "udp" {
		kind = unix.SOCK_DGRAM
	}
	fd, to, err := open(kind, address)
	if err != nil {
		return err.Error()
	}
	defer unix.Close(fd)
	for _, of := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		tv := unix.NsecToTimeval(limit.Nanoseconds())
		err = errors.Join(err, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, of, &tv))
	}
	if err == nil {
		err = again(func() error { return unix.Connect(fd, to) })
	}
	if network == "udp" && err == nil {
		if _, err = unix.Write(fd, []byte("x")); err == nil {
			return "sent"
		}
	}
	var n int
	b := make([]byte, 100)
	if err == nil {
		err = again(func() (err error) { n, err = unix.Read(fd, b); return err })
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return "refused"
	case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ETIMEDOUT):
		return "silent"
	case err != nil:
		return err.Error()
	default:
		return strings.TrimSpace(string(b[:n]))
	}
}

// again makes a system call until no signal interrupts it: Linux takes up a
// connection where it was.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// listens starts a user who listens; the returned function ends it.
func (n *network) listens(t testing.TB, uid int, address, answer string) (end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "as", strconv.Itoa(uid), "listen", address+" "+answer)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			_ = stdin.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(end)
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "listens\n" {
		t.Fatalf("uid %d at %s: %q %v", uid, address, line, err)
	}
	return end
}

// call is a connection of a user, and what is to come of it.
type call struct {
	uid      int
	to, want string // "127.0.0.1:80", "udp!127.0.0.1:80"
}

// wantCalls makes all calls of one user in one process.
func (n *network) wantCalls(t *testing.T, calls ...call) {
	t.Helper()
	byUser := map[int][]call{}
	for _, c := range calls {
		byUser[c.uid] = append(byUser[c.uid], c)
	}
	for uid, calls := range byUser {
		var to []string
		for _, c := range calls {
			if !strings.Contains(c.to, "!") {
				c.to = "tcp!" + c.to
			}
			limit := patience
			if c.want == silent {
				limit = time.Second
			}
			to = append(to, c.to+"!"+limit.String())
		}
		answers := strings.Split(strings.TrimSpace(n.run(t, os.Args[0], "as", strconv.Itoa(uid), "dial", strings.Join(to, " "))), "\n")
		if len(answers) != len(calls) {
			t.Fatalf("uid %d: %q", uid, answers)
		}
		for i, c := range calls {
			if answers[i] != c.want {
				t.Errorf("uid %d to %s: %s, want %s", uid, c.to, answers[i], c.want)
			}
		}
	}
}
