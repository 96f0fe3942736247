package controlplane

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/guard"
	"github.com/nixmesh/nixmesh/hostfacts"
)

// failing is a socket whose calls of Accept fail as they do without memory, until
// there is some.
type failing struct {
	net.Listener
	over atomic.Bool
}

func (f *failing) Accept() (net.Conn, error) {
	if !f.over.Load() {
		return nil, errors.New("accept: no buffer space available")
	}
	return f.Listener.Accept()
}

// A socket that fails is a problem for as long as it does, and who comes after that
// is let in.
func TestDoorIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "xds.sock")
	inner := must(net.Listen("unix", path))(t)
	p := newProblems(machineClock{}, func(agentapi.Event) {})
	socket := &failing{Listener: inner}
	d := newDoor(socket, slog.New(slog.DiscardHandler), func() []int { return []int{os.Getuid()} }, func(err error) { p.check("envoy", err, "") })
	came := make(chan error, 2)
	go func() {
		for range 2 {
			c, err := d.Accept()
			if err == nil {
				err = c.Close()
			}
			came <- err
		}
	}()
	for began := time.Now(); !d.failing() || p.count() != 1; time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("nobody is told of a socket that fails")
		}
	}
	socket.over.Store(true)
	must(net.Dial("unix", path))(t).Close()
	if err := <-came; err != nil || d.failing() || p.count() > 0 {
		t.Errorf("it works: %v; problems: %+v", err, p.list())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := <-came; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed door says %v", err)
	}
}

// listening is a socket to which nobody comes.
type listening struct {
	net.Listener
	failures, end chan error
}

func (l listening) Accept() (net.Conn, error) {
	select {
	case err := <-l.failures:
		return nil, err
	case <-l.end:
		return nil, net.ErrClosed
	}
}

func (l listening) Close() error { close(l.end); return nil }

// A socket that waits for somebody without a failure works again, though nobody came.
func TestDoorCalmsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listening{failures: make(chan error), end: make(chan error)}
		p := newProblems(machineClock{}, func(agentapi.Event) {})
		d := newDoor(l, slog.New(slog.DiscardHandler), nil, func(err error) { p.check("envoy", err, "") })
		done := make(chan struct{})
		go func() { defer close(done); _, _ = d.Accept() }()
		l.failures <- errors.New("no memory")
		synctest.Wait()
		if !d.failing() || p.count() != 1 {
			t.Errorf("problems: %+v", p.list())
		}
		time.Sleep(doorCalm + doorMost)
		if d.failing() || p.count() > 0 {
			t.Errorf("it fails no more: %+v", p.list())
		}
		_ = d.Close()
		<-done
	})
}

// That an Envoy is away is told by the agent's clock, as all that it says.
func TestProxyHasOneClock(t *testing.T) {
	w := newWorld(t, t.TempDir(), 1)
	m := w.hosts["h000"]
	m.facts = func(f *hostfacts.Facts) { f.Mesh.Envoy = &hostfacts.Envoy{Version: "1.40.0"} }
	m.writeFacts()
	a := must(New(m.options()))(t)
	defer func() { _ = a.Stop(t.Context()) }()
	a.proxy.tell()
	if problem(a.Status(), "is not connected") {
		t.Error("it may be on its way")
	}
	m.clock.set(patience + time.Second)
	a.proxy.tell()
	if !problem(a.Status(), "is not connected") {
		t.Errorf("problems: %+v", a.Status().Problems)
	}
}

// A kernel's table whose copy is missing is told, as a missing table is.
func TestGuardWithoutACopy(t *testing.T) {
	dir := t.TempDir()
	g, p := newGuarded(dir), newProblems(machineClock{}, func(agentapi.Event) {})
	for _, apart := range []string{"nft: not found", ""} {
		content := must(json.Marshal(guard.Report{Schema: guard.Schema, Table: "x", Copy: apart == "", Apart: apart}))(t)
		if err := os.WriteFile(filepath.Join(dir, "guard.json"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		g.look(p, true)
		list := p.list()
		if told := len(list) == 1 && strings.Contains(list[0].What, "has no copy") && strings.Contains(list[0].What, apart); told != (apart != "") || g.status().Copy == told {
			t.Errorf("%q: problems %+v, status %+v", apart, list, g.status())
		}
	}
}
