package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/ssh"
)

// Run runs one command to its end and returns its exit status; one that a
// signal ended has 128 + the signal's number, as in a shell. The error is
// non-nil only where the status is unknown: ErrLost, or ctx's cause. When ctx
// ends first the session is killed as far as sshd does it, and the caller has
// to assume that the command may still run.
func (c *Conn) Run(ctx context.Context, cmd Command) (int, error) {
	session, err := c.open(ctx)
	if err != nil {
		return -1, err
	}
	stdout, stderr := newGates(cmd.Stdout, cmd.Stderr)
	defer stdout.shut()
	defer stderr.shut()
	session.Stdout, session.Stderr = stdout, stderr
	stdin, err := session.StdinPipe()
	if err != nil {
		_ = session.Close()
		return -1, c.lost(err)
	}
	type end struct{ err error }
	ended := make(chan end, 1)
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		defer func() { _ = session.Close() }()
		if err := session.Start(cmd.Line); err != nil {
			ended <- end{fmt.Errorf("start command: %w", err)}
			return
		}
		// Not session.Stdin: Wait would then wait for a reader that may never
		// end. A command that does not read its input is no error.
		go func() {
			if cmd.Stdin != nil {
				_, _ = io.Copy(stdin, cmd.Stdin)
			}
			stdin.Close()
		}()
		ended <- end{session.Wait()}
	}()
	select {
	case e := <-ended:
		return c.status(e.err)
	case <-ctx.Done():
	}
	// Both may be ready: a status that is known is never thrown away.
	select {
	case e := <-ended:
		return c.status(e.err)
	default:
	}
	c.kill(session)
	return -1, fmt.Errorf("run on %s: %w", c.target.Name, context.Cause(ctx))
}

// Output runs a line and returns its stdout. Any status but 0 is an error with
// the first lines of stderr.
func (c *Conn) Output(ctx context.Context, line string, stdin io.Reader) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	status, err := c.Run(ctx, Command{Line: line, Stdin: stdin, Stdout: &stdout, Stderr: &limited{w: &stderr, left: 8 << 10}})
	if err != nil {
		return nil, err
	}
	if status != 0 {
		return stdout.Bytes(), &StatusError{Host: c.target.Name, Status: status, Stderr: stderr.String()}
	}
	return stdout.Bytes(), nil
}

// StatusError is a command that ended with another status than 0.
type StatusError struct {
	Host   string
	Status int
	Stderr string // its beginning
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("command on %s ended with status %d", e.Host, e.Status)
	if s := bytes.TrimSpace([]byte(e.Stderr)); len(s) > 0 {
		text += ": " + string(s)
	}
	return text
}

// open opens a session within ctx. NewSession itself waits for the host's
// answer for as long as the connection lives.
func (c *Conn) open(ctx context.Context) (*ssh.Session, error) {
	type opened struct {
		session *ssh.Session
		err     error
	}
	ready := make(chan opened, 1)
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		s, err := c.client.NewSession()
		ready <- opened{s, err}
	}()
	select {
	case o := <-ready:
		var refused *ssh.OpenChannelError
		if errors.As(o.err, &refused) {
			return nil, fmt.Errorf("open session on %s: the host refused it (%s); sshd's MaxSessions may be reached", c.target.Name, refused.Message)
		}
		if o.err != nil {
			return nil, c.lost(o.err)
		}
		return o.session, nil
	case <-ctx.Done():
		go func() { // ends with the connection at the latest
			if o := <-ready; o.session != nil {
				_ = o.session.Close()
			}
		}()
		return nil, fmt.Errorf("open session on %s: %w", c.target.Name, context.Cause(ctx))
	}
}

// status turns the end of a session into an exit status, where it has one.
func (c *Conn) status(err error) (int, error) {
	var exit *ssh.ExitError
	var missing *ssh.ExitMissingError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitStatus(), nil
	case errors.As(err, &missing):
		return -1, c.lost(errors.New("the session ended without an exit status"))
	default:
		return -1, c.lost(err)
	}
}

// kill ends a session: the signal is what ends the remote process where sshd
// passes it on, closing the channel is what frees ours. It does not wait.
func (c *Conn) kill(session *ssh.Session) {
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		stop := time.AfterFunc(closeGrace, func() { _ = session.Close() })
		defer stop.Stop()
		_ = session.Signal(ssh.SIGKILL) // an old sshd ignores it
		_ = session.Close()
	}()
}

// gate passes writes on until Run has returned: what a killed session still
// sends then must not touch the caller's buffers.
type gate struct {
	turn chan struct{} // holds one token: whoever took it may touch w
	w    io.Writer     // nil = discard
}

// newGates makes one gate for both where the caller passed one writer for both.
func newGates(stdout, stderr io.Writer) (*gate, *gate) {
	out := newGate(stdout)
	if stdout != nil && stdout == stderr {
		return out, out
	}
	return out, newGate(stderr)
}

func newGate(w io.Writer) *gate {
	g := &gate{turn: make(chan struct{}, 1), w: w}
	g.turn <- struct{}{}
	return g
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.turn
	defer func() { g.turn <- struct{}{} }()
	if g.w == nil {
		return len(p), nil
	}
	return g.w.Write(p)
}

// shut waits for a write that is under way, but not for ever: the caller's
// writer may be a pipe that nobody reads any more.
func (g *gate) shut() {
	select {
	case <-g.turn:
		g.w = nil
		g.turn <- struct{}{}
	case <-time.After(closeGrace):
	}
}

// limited keeps the first bytes and swallows the rest.
type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	keep := p
	if len(keep) > l.left {
		keep = keep[:l.left]
	}
	l.left -= len(keep)
	if _, err := l.w.Write(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}
