package deploy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/remote"
)

// agentHost is a connection to a host with an agent: it bridges to a socket that
// answers every request, or with nothing where the session failed.
type agentHost struct {
	t      *testing.T
	check  int // status of the look at the socket
	failed string
	bridge []string
	lost   chan struct{}
	closed bool
}

var _ remote.Host = (*agentHost)(nil)

func (h *agentHost) Run(_ context.Context, c remote.Command) (int, error) {
	if !strings.Contains(c.Line, agentapi.Socket) {
		h.t.Errorf("the host is asked to run %q", c.Line)
	}
	return h.check, nil
}

func (h *agentHost) Bridge(_ context.Context, line string) (string, error) {
	h.bridge = append(h.bridge, line)
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		return "", err
	}
	listener, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return "", err
	}
	h.t.Cleanup(func() { listener.Close(); os.RemoveAll(dir) })
	go func() { // ends with the listener
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go h.answer(c)
		}
	}()
	return listener.Addr().String(), nil
}

func (h *agentHost) answer(c net.Conn) {
	defer c.Close()
	if h.failed != "" {
		return
	}
	r := bufio.NewReader(c)
	for {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		text := `{"schema":"nixmesh.agent/1","host":"db1"}`
		if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text); err != nil {
			return
		}
	}
}

func (h *agentHost) BridgeError() string   { return h.failed }
func (h *agentHost) Lost() <-chan struct{} { return h.lost }
func (h *agentHost) Close() error          { h.closed = true; return nil }
func newAgentHost(t *testing.T, check int) *agentHost {
	return &agentHost{t: t, check: check, lost: make(chan struct{})}
}

// agentWorld is a deployer that dials the given connections, one after the other.
func agentWorld(t *testing.T, hosts ...*agentHost) *Deployer {
	d := newWorld().Deployer
	d.Dial = func(context.Context, remote.Target) (remote.Host, error) {
		if len(hosts) == 0 {
			return nil, io.EOF
		}
		h := hosts[0]
		hosts = hosts[1:]
		return h, nil
	}
	t.Cleanup(d.Close)
	return d
}

func TestAgentOverTheSharedConnection(t *testing.T) {
	h, next := newAgentHost(t, 0), newAgentHost(t, 0)
	d := agentWorld(t, h, next)
	c, err := d.Agent(t.Context(), "db1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if s, err := c.Status(t.Context()); err != nil || s.Host != "db1" {
			t.Fatal(s, err)
		}
	}
	if len(h.bridge) != 1 || h.bridge[0] != "/run/current-system/sw/bin/nixmesh agent connect" {
		t.Errorf("bridges: %q", h.bridge)
	}
	// A client outlives the connection that it began with.
	close(h.lost)
	l, err := d.link("db1")
	if err != nil {
		t.Fatal(err)
	}
	l.drop(h)
	c.Close()
	if _, err := c.Status(t.Context()); err != nil || len(next.bridge) != 1 {
		t.Errorf("after the connection was lost: %v, bridges %q", err, next.bridge)
	}
}

// The groups of a connection are those of when it was opened.
func TestAgentOfAGroupThatIsNew(t *testing.T) {
	before, after := newAgentHost(t, 4), newAgentHost(t, 0)
	d := agentWorld(t, before, after)
	c, err := d.Agent(t.Context(), "db1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	if len(before.bridge) > 0 || before.closed || len(after.bridge) != 1 {
		t.Errorf("bridges: %q and %q, first one closed: %t", before.bridge, after.bridge, before.closed)
	}
	d.Close()
	if !before.closed || !after.closed {
		t.Errorf("closed: %t and %t", before.closed, after.closed)
	}
}

func TestAgentThatIsNotThere(t *testing.T) {
	if _, err := agentWorld(t, newAgentHost(t, 3)).Agent(t.Context(), "db1"); !errors.Is(err, ErrNoAgent) || !strings.HasPrefix(err.Error(), "db1: no agent runs there") {
		t.Errorf("no socket: %v", err)
	}
	if _, err := agentWorld(t, newAgentHost(t, 4), newAgentHost(t, 4)).Agent(t.Context(), "db1"); !errors.Is(err, ErrAgentDenied) {
		t.Errorf("not let in: %v", err)
	}
	if _, err := agentWorld(t).Agent(t.Context(), "db1"); !lost(err) {
		t.Errorf("no connection: %v", err)
	}
	h := newAgentHost(t, 0)
	h.failed = "open agent socket: connection refused\nProcess exited with status 1"
	c, err := agentWorld(t, h).Agent(t.Context(), "db1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "status 1") {
		t.Errorf("the session failed: %v", err)
	}
}
