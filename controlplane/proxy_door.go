package controlplane

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// door lets this host's Envoy in, and root, by the credentials that the kernel
// has of the process; nobody else, whoever may open the socket. Where the socket
// fails it is tried again: who is inside stays, and who comes back is let in.
type door struct {
	net.Listener
	logger *slog.Logger
	admits func() []int    // uids besides root
	fails  func(err error) // is told when nobody can come in, and with nil when that is over
	closed chan struct{}

	mu      sync.Mutex // guards what follows
	shut    bool       // closed is
	failure error      // of the socket, nil while it works
	refused uint64
	last    string
}

// Waits for a socket that fails: the first, which doubles, and the last.
const (
	doorFirst = 10 * time.Millisecond
	doorMost  = 5 * time.Second
)

// doorCalm is how long a socket has to wait for somebody without a failure before it
// works again.
const doorCalm = time.Second

func newDoor(inner net.Listener, logger *slog.Logger, admits func() []int, fails func(error)) *door {
	return &door{Listener: inner, logger: logger, admits: admits, fails: fails, closed: make(chan struct{})}
}

// Accept waits for a connection of somebody who may come in, until the door is
// closed.
func (d *door) Accept() (net.Conn, error) {
	for wait := doorFirst; ; wait = min(2*wait, doorMost) {
		calm := time.AfterFunc(doorCalm, func() { d.became(nil) })
		c, err := d.admit()
		calm.Stop()
		if err == nil {
			d.became(nil)
			return c, nil
		}
		d.became(err)
		select {
		case <-d.closed:
			return nil, net.ErrClosed
		case <-time.After(wait):
		}
	}
}

// became notes whether the socket works, nil = it does.
func (d *door) became(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut || (err == nil) == (d.failure == nil) {
		return
	}
	if d.failure = err; err != nil {
		d.logger.Error("envoy's socket takes nobody", "err", err)
	}
	d.fails(err)
}

// failing says whether nobody can come in at the moment.
func (d *door) failing() bool {
	if d == nil {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure != nil
}

// Close lets nobody in any more. It may be called twice.
func (d *door) Close() error {
	d.mu.Lock()
	if !d.shut {
		d.shut = true
		close(d.closed)
	}
	d.mu.Unlock()
	return d.Listener.Close()
}

// admit is Accept for as long as the socket works.
func (d *door) admit() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who, err := credentials(c)
		if err == nil && (who.Uid == 0 || slices.Contains(d.admits(), int(who.Uid))) {
			return c, nil
		}
		_ = c.Close() // it is not spoken with
		text := "a process that is gone"
		if err == nil {
			text = fmt.Sprintf("uid %d (pid %d)", who.Uid, who.Pid)
		}
		d.logger.Warn("refused a connection to Envoy's socket", "from", text, "err", err)
		d.mu.Lock()
		d.refused, d.last = d.refused+1, text
		d.mu.Unlock()
	}
}

// turnedAway are the connections that were refused, and whose the last one was.
func (d *door) turnedAway() (n uint64, last string) {
	if d == nil {
		return 0, ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.refused, d.last
}

// credentials are those of the process that connected.
func credentials(c net.Conn) (*syscall.Ucred, error) {
	unix, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("it is no Unix socket")
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return nil, err
	}
	var who *syscall.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		who, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = failed
	}
	return who, err
}

// uids are those that Envoy may have: the one of the facts.
func (p *proxy) uids() []int {
	if f := p.facts.Load(); f != nil && f.Mesh != nil && f.Mesh.Envoy != nil {
		return []int{f.Mesh.Envoy.UID}
	}
	return nil
}

// doorFailed tells people that Envoy cannot connect, and with nil that it can again.
func (p *proxy) doorFailed(err error) {
	if err != nil {
		err = fmt.Errorf("this host's Envoy cannot connect to its agent, and does as it was told last: %w", err)
	}
	p.agent.problems.check("envoy", err, "systemctl restart nixmesh-agent")
}

// close leaves Envoy with what it has, and closes its socket. It may be called
// twice.
func (p *proxy) close() {
	p.end()
	if p.door != nil {
		_ = p.door.Close() // perhaps it was closed by who served from it
	}
}
