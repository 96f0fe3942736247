package testkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/nixmesh/nixmesh/remote"
)

// FakeHost is a remote.Host whose commands a function answers.
type FakeHost struct {
	// Handle answers a command; stdin is read to its end beforehand. An error
	// is an unknown status; ErrLost also loses the connection.
	Handle func(ctx context.Context, line string, stdin []byte) (stdout, stderr []byte, status int, err error)
	// Socket is what Bridge answers.
	Socket string

	mu     sync.Mutex // guards what follows
	lines  []string
	closed bool
}

var _ remote.Host = (*FakeHost)(nil)

// Run answers a command with Handle.
func (f *FakeHost) Run(ctx context.Context, c remote.Command) (int, error) {
	f.mu.Lock()
	f.lines = append(f.lines, c.Line)
	closed := f.closed
	f.mu.Unlock()
	if closed {
		return -1, fmt.Errorf("%w: closed", remote.ErrLost)
	}
	if err := ctx.Err(); err != nil {
		return -1, context.Cause(ctx)
	}
	var stdin []byte
	if c.Stdin != nil {
		var err error
		if stdin, err = io.ReadAll(c.Stdin); err != nil {
			return -1, err
		}
	}
	stdout, stderr, status, err := f.Handle(ctx, c.Line, stdin)
	if errors.Is(err, remote.ErrLost) {
		_ = f.Close()
	}
	if c.Stdout != nil {
		if _, e := c.Stdout.Write(stdout); e != nil {
			return -1, e
		}
	}
	if c.Stderr != nil {
		if _, e := c.Stderr.Write(stderr); e != nil {
			return -1, e
		}
	}
	return status, err
}

// Bridge answers Socket.
func (f *FakeHost) Bridge(context.Context, string) (string, error) { return f.Socket, nil }

// Close makes every later command lost.
func (f *FakeHost) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return nil
}

// Lines are the commands so far.
func (f *FakeHost) Lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.lines...)
}
