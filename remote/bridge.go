package remote

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Bridge serves a Unix socket in a folder of its own (0700): each connection
// to it becomes one session that runs line, bytes in both directions, until
// ctx or the connection ends. The agent is never forwarded. A session whose
// input ended gets the grace of Options to finish, then SIGKILL.
func (c *Conn) Bridge(ctx context.Context, line string) (string, error) {
	dir, err := bridgeDir(c.opts.SocketDir)
	if err != nil {
		return "", err
	}
	socket := filepath.Join(dir, "bridge")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("listen for nix: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.life, func() { cancel(context.Cause(c.life)) })
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		defer func() { _ = os.RemoveAll(dir) }()
		defer stop()
		var sessions sync.WaitGroup
		defer sessions.Wait()
		defer cancel(nil)
		for {
			local, err := listener.Accept()
			if err != nil {
				return // only the end of ctx closes the listener
			}
			sessions.Go(func() { c.bridgeOne(ctx, local.(*net.UnixConn), line) })
		}
	}()
	return socket, nil
}

// maxSocketDir keeps a socket's path below the 108 bytes of sockaddr_un.
const maxSocketDir = 80

// bridgeDir makes a folder that only we may enter. A temporary folder with a
// long name is left for /tmp.
func bridgeDir(in string) (string, error) {
	if in == "" && len(os.TempDir()) > maxSocketDir {
		in = "/tmp"
	}
	dir, err := os.MkdirTemp(in, "nixmesh-")
	if err != nil {
		return "", fmt.Errorf("create bridge folder: %w", err)
	}
	return dir, nil
}

// BridgeError is what the last bridged session left on stderr if it failed,
// with its status: the reason behind nix's "unexpected end-of-file".
func (c *Conn) BridgeError() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bridgeError
}

func (c *Conn) bridgeOne(ctx context.Context, local *net.UnixConn, line string) {
	defer func() { _ = local.Close() }()
	c.noteBridge("")
	session, err := c.open(ctx)
	if err != nil {
		c.noteBridge(err.Error())
		return
	}
	defer func() { _ = session.Close() }()
	// Only the local side is closed when ctx ends: the session then sees the
	// end of its input, and is killed as any other that does not finish.
	unhook := context.AfterFunc(ctx, func() { _ = local.Close() })
	defer unhook()

	stdin, err := session.StdinPipe()
	if err != nil {
		return
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return
	}
	var stderr bytes.Buffer
	session.Stderr = &limited{w: &stderr, left: 8 << 10}
	if err := session.Start(line); err != nil {
		c.noteBridge(err.Error())
		return
	}
	leash := &leash{session: session, grace: cmp.Or(c.opts.BridgeGrace, BridgeGrace)}
	defer leash.release()
	var up, down sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(stdin, local)
		stdin.Close()
		leash.inputEnded()
	})
	down.Go(func() {
		if _, err := io.Copy(local, stdout); err != nil {
			leash.inputEnded() // nobody reads any more
			_, _ = io.Copy(io.Discard, stdout)
		}
	})
	err = session.Wait()
	down.Wait() // the last bytes may still be on their way to nix
	if err != nil && !leash.killed.Load() {
		// Before the close: nix ends with it, and then the reason is asked for.
		c.noteBridge(strings.TrimSpace(stderr.String() + "\n" + err.Error()))
	}
	_ = local.Close()
	up.Wait()
}

// leash ends a session that goes on after its input has ended.
type leash struct {
	session *ssh.Session
	grace   time.Duration
	killed  atomic.Bool
	mu      sync.Mutex // guards the timers
	kill    *time.Timer
	shut    *time.Timer
}

// inputEnded gives the session its grace from now.
func (l *leash) inputEnded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kill != nil {
		return
	}
	l.kill = time.AfterFunc(l.grace, func() {
		l.killed.Store(true)
		_ = l.session.Signal(ssh.SIGKILL)
	})
	l.shut = time.AfterFunc(l.grace+closeGrace, func() { _ = l.session.Close() })
}

func (l *leash) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kill != nil {
		l.kill.Stop()
		l.shut.Stop()
	}
}

func (c *Conn) noteBridge(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bridgeError = text
}
