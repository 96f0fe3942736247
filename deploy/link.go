package deploy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/remote"
)

// Dialer opens a new connection to a host: TCP, key exchange with the pinned
// host key, login. *remote.Dialer style functions satisfy it.
type Dialer func(ctx context.Context, t remote.Target) (remote.Host, error)

// callTimeout bounds one short verb: a healthy host answers in milliseconds, a
// loaded one in seconds, and each verb itself bounds its child processes.
const callTimeout = 90 * time.Second

// link is the deployer's connection to one host, shared by all calls, opened
// when needed and again after it was lost.
type link struct {
	target  remote.Target
	dial    Dialer
	command string // how the helper is started
	agent   agentLink

	mu   sync.Mutex // guards what follows
	conn remote.Host
}

func newLink(t remote.Target, dial Dialer) *link {
	return &link{target: t, dial: dial, command: helperCommand(t.User, InstalledHelper)}
}

// host gives the shared connection, opening it where there is none.
func (l *link) host(ctx context.Context) (remote.Host, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		return l.conn, nil
	}
	c, err := l.fresh(ctx)
	if err != nil {
		return nil, err
	}
	l.conn = c
	return c, nil
}

// connected says whether there is a shared connection, as far as we know. While one
// is being opened there is none.
func (l *link) connected() bool {
	if !l.mu.TryLock() {
		return false
	}
	defer l.mu.Unlock()
	return l.conn != nil
}

// fresh opens a connection of its own.
func (l *link) fresh(ctx context.Context) (remote.Host, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*remote.DialTimeout+5*time.Second) // a busy host is asked twice
	defer cancel()
	return l.dial(ctx, l.target)
}

// adopt makes c the shared connection and closes the former one.
func (l *link) adopt(c remote.Host) {
	l.mu.Lock()
	old := l.conn
	l.conn = c
	l.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
}

// drop forgets c after it was lost.
func (l *link) drop(c remote.Host) {
	l.mu.Lock()
	if l.conn == c {
		l.conn = nil
	}
	l.mu.Unlock()
	_ = c.Close()
}

func (l *link) close() {
	l.agent.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		_ = l.conn.Close()
		l.conn = nil
	}
}

// call runs one verb over the shared connection. A lost connection is dropped,
// so that the next call opens another.
func (l *link) call(ctx context.Context, verb string, args []string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := l.host(ctx)
	if err != nil {
		return &LostError{Host: l.target.Name, Err: err}
	}
	err = helper{host: l.target.Name, conn: c, command: l.command}.call(ctx, verb, args, in, out)
	if lost(err) {
		l.drop(c)
	}
	return err
}

// insist repeats a verb through sudo's hiccups and lost connections until it is
// answered, ctx ends, or patience is over. It is for verbs that may be repeated.
func (l *link) insist(ctx context.Context, patience time.Duration, verb string, args []string, in, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	wait := 200 * time.Millisecond
	for {
		err := l.call(ctx, verb, args, in, out)
		if err == nil || !again(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(wait*2, 3*time.Second)
	}
}

// again says whether a call may have another answer in a moment.
func again(err error) bool { return lost(err) || errors.Is(err, ErrSudo) }

var errPatience = errors.New("no answer in time")

// output runs a plain command over the shared connection and gives its stdout.
func (l *link) output(ctx context.Context, line string, stdin []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := l.host(ctx)
	if err != nil {
		return nil, &LostError{Host: l.target.Name, Err: err}
	}
	out, errText, status, err := capture(ctx, c, line, stdin)
	if err != nil {
		l.drop(c)
		return nil, &LostError{Host: l.target.Name, Err: err}
	}
	if status != 0 {
		return nil, fmt.Errorf("%s: command ended with status %d: %s", l.target.Name, status, lastLines(errText, 3))
	}
	return out, nil
}

// shell runs a line of POSIX shell on the host, whatever the login shell is.
func (l *link) shell(ctx context.Context, line string) ([]byte, error) {
	return l.output(ctx, remote.ShellLine(line), nil)
}
