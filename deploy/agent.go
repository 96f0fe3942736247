package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/remote"
)

// agentCommand copies a session's input and output to and from the agent's
// socket, as the user who logged in.
const agentCommand = "/run/current-system/sw/bin/nixmesh agent connect"

// Errors of Agent, besides those of the connection.
var (
	ErrNoAgent     = errors.New("no agent runs there")
	ErrAgentDenied = errors.New("the agent does not let the user in")
)

// Agent is a client of the agent of a host, over the host's shared connection.
// It may be kept: each of its own connections goes over the SSH connection that
// there is then. The error is ErrNoAgent, ErrAgentDenied, or that the host is
// not reached (LostError).
func (d *Deployer) Agent(ctx context.Context, host string) (*agentapi.Client, error) {
	if _, err := d.agentBridge(ctx, host); err != nil {
		return nil, err
	}
	return agentapi.NewClient(func(ctx context.Context) (net.Conn, error) { return d.dialAgent(ctx, host) }), nil
}

func (d *Deployer) dialAgent(ctx context.Context, host string) (net.Conn, error) {
	b, err := d.agentBridge(ctx, host)
	if err != nil {
		return nil, err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", b.socket)
	if err != nil {
		return nil, &LostError{Host: host, Err: err} // the bridge ends with its connection
	}
	return &agentConn{Conn: c, bridge: b}, nil
}

func (d *Deployer) agentBridge(ctx context.Context, host string) (*agentBridge, error) {
	l, err := d.link(host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return l.agent.get(ctx, l)
}

// agentLink is a link's bridge to the agent, made when it is first needed and
// again over another connection.
type agentLink struct {
	mu     sync.Mutex // guards bridge
	bridge *agentBridge
}

// agentBridge is a Unix socket whose connections lead to an agent.
type agentBridge struct {
	host   string
	conn   remote.Host // that it goes over
	own    bool        // conn is not the link's, but was opened for it
	socket string
}

func (a *agentLink) get(ctx context.Context, l *link) (*agentBridge, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := l.host(ctx)
	if err != nil {
		return nil, &LostError{Host: l.target.Name, Err: err}
	}
	if b := a.bridge; b != nil && (b.conn == c || b.own) && !b.lost() {
		return b, nil
	}
	a.end()
	b, err := openAgent(ctx, l, c)
	if lost(err) {
		l.drop(c)
	}
	if errors.Is(err, ErrAgentDenied) {
		// A connection has the groups of when it was opened, and the deploy that
		// brought the agent put the user into the agent's group since.
		if c, err = l.fresh(ctx); err != nil {
			return nil, &LostError{Host: l.target.Name, Err: err}
		}
		if b, err = openAgent(ctx, l, c); err != nil {
			_ = c.Close()
			return nil, err
		}
		b.own = true
	}
	a.bridge = b
	return b, err
}

// agentCheck asks what a bridged session could not tell: 3 is no socket, 4 one
// that the user may not use.
const agentCheck = "[ -S " + agentapi.Socket + " ] || exit 3; [ -w " + agentapi.Socket + " ] || exit 4"

// openAgent makes a bridge over c.
func openAgent(ctx context.Context, l *link, c remote.Host) (*agentBridge, error) {
	host := l.target.Name
	_, text, status, err := capture(ctx, c, remote.ShellLine(agentCheck), nil)
	switch {
	case err != nil:
		return nil, &LostError{Host: host, Err: err}
	case status == 3:
		return nil, &Error{Exit: ExitFailed, Err: fmt.Errorf("%s: %w (%s is not there)", host, ErrNoAgent, agentapi.Socket),
			Next: "nixmesh exec --on " + host + " -- systemctl status nixmesh-agent.service"}
	case status == 4:
		return nil, &Error{Exit: ExitRefused, Err: fmt.Errorf("%s: %w: %s is not in the group of %s", host, ErrAgentDenied, l.target.User, agentapi.Socket),
			Next: "nixmesh deploy --on " + host}
	case status != 0:
		return nil, fmt.Errorf("%s: look for the agent's socket: status %d: %s", host, status, lastLines(text, 3))
	}
	// It serves later calls, too, and ends with its connection.
	socket, err := c.Bridge(context.WithoutCancel(ctx), agentCommand)
	if err != nil {
		return nil, &LostError{Host: host, Err: err}
	}
	return &agentBridge{host: host, conn: c, socket: socket}, nil
}

// lost says whether the bridge's connection is known to be gone.
func (b *agentBridge) lost() bool {
	known, ok := b.conn.(interface{ Lost() <-chan struct{} })
	if !ok {
		return false
	}
	select {
	case <-known.Lost():
		return true
	default:
		return false
	}
}

// end forgets the bridge and closes the connection that was opened for it.
func (a *agentLink) end() {
	if a.bridge != nil && a.bridge.own {
		_ = a.bridge.conn.Close()
	}
	a.bridge = nil
}

func (a *agentLink) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end()
}

// agentConn is one connection to an agent.
type agentConn struct {
	net.Conn
	bridge *agentBridge
}

// Read and Write tell why the session failed where nothing but its end comes.
func (c *agentConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.why(n, err)
}

func (c *agentConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.why(n, err)
}

// why is the last failure of the bridge's sessions in place of the end of the
// connection, err where it is something else.
func (c *agentConn) why(n int, err error) error {
	if n > 0 || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	if teller, ok := c.bridge.conn.(interface{ BridgeError() string }); ok {
		if text := teller.BridgeError(); text != "" {
			return fmt.Errorf("%s: connect to the agent: %s", c.bridge.host, lastLines(text, 2))
		}
	}
	return err
}
