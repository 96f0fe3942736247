package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Conn is one SSH connection. Sessions, bridges and the keep-alives run on it
// and end with it.
type Conn struct {
	target Target
	opts   Options
	client *ssh.Client
	undo   func() // closes jump connections

	life   context.Context // ends with the connection; its cause says why
	end    context.CancelCauseFunc
	closed chan struct{} // closed when the transport is gone

	wg sync.WaitGroup // keep-alives, sessions, bridges

	mu          sync.Mutex // guards bridgeError
	bridgeError string
}

var _ Host = (*Conn)(nil)

// errClosed is the end that Close brings.
var errClosed = errors.New("closed by us")

func newConn(t Target, o Options, client *ssh.Client, undo func()) *Conn {
	life, end := context.WithCancelCause(context.Background())
	c := &Conn{target: t, opts: o, client: client, undo: undo, life: life, end: end, closed: make(chan struct{})}
	go func() {
		err := client.Wait()
		if err == nil {
			err = errors.New("the host closed it")
		}
		end(err)
		close(c.closed)
	}()
	c.wg.Add(1)
	go c.keepAlive()
	return c
}

// Target is what was dialled.
func (c *Conn) Target() Target { return c.target }

// Lost is closed when the connection is gone, for whatever reason.
func (c *Conn) Lost() <-chan struct{} { return c.closed }

// Close ends the connection and everything on it. It waits a moment for what
// runs on it, so that nothing of ours outlives the call in the usual case.
func (c *Conn) Close() error {
	c.end(errClosed)
	err := c.client.Close()
	c.undo()
	<-c.closed
	done := make(chan struct{})
	go func() { c.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(closeGrace):
	}
	if err != nil && c.lostCause() == nil {
		return fmt.Errorf("close connection to %s: %w", c.target.Name, err)
	}
	return nil
}

// lostCause is why the connection is gone, nil while it is there or when we
// closed it.
func (c *Conn) lostCause() error {
	cause := context.Cause(c.life)
	if errors.Is(cause, errClosed) {
		return nil
	}
	return cause
}

// lost wraps an error that means an unknown status.
func (c *Conn) lost(err error) error {
	if cause := context.Cause(c.life); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w: %s (%s): %w", ErrLost, c.target.Name, c.target.addr(), err)
}

// errSilent is a host that stopped answering keep-alives.
type errSilent struct{ after time.Duration }

func (e errSilent) Error() string { return fmt.Sprintf("no answer for %s", e.after) }

func (e errSilent) Timeout() bool { return true }

// keepAlive asks the host for a sign of life and closes the connection after
// KeepAliveMissing periods without one. Answers of any kind count: sshd
// refuses the request, and that is an answer.
func (c *Conn) keepAlive() {
	defer c.wg.Done()
	every := c.opts.KeepAlive
	if every == 0 {
		every = KeepAliveEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.life.Done():
			return
		case <-tick.C:
		}
		answer := make(chan error, 1)
		go func() {
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			answer <- err
		}()
		select {
		case <-c.life.Done():
			return
		case err := <-answer:
			if err != nil {
				return // the transport is gone, and client.Wait says why
			}
		case <-time.After(KeepAliveMissing * every):
			c.end(errSilent{KeepAliveMissing * every})
			_ = c.client.Close()
			return
		}
	}
}
