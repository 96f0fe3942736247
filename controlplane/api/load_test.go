package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// A client that says nothing, or half of it, is left; others are served.
func TestSlowClient(t *testing.T) {
	_, socket := serve(t, &agent{}, func(l *limits) {
		l.header, l.request, l.idle = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	})
	for _, begin := range []string{"", "GET /v1/st", "PUT /v1/override HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfour", "GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"} {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, begin)
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Minute))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after %q the connection stayed", begin)
		}
	}
	c := client(t, socket)
	eventually(t, "served", func() bool { return c.Ready(t.Context()) == nil })
}

// One connection more than there are slots is told so; a slot that gets free is
// for the next.
func TestManyConnections(t *testing.T) {
	s, socket := serve(t, &agent{}, func(l *limits) { l.connections = 4 })
	held := make([]net.Conn, 4)
	for i := range held {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held[i] = c
	}
	eventually(t, "full", func() bool { return len(s.listener.slots) == 4 })
	c := client(t, socket)
	refused(t, c.Ready(t.Context()), http.StatusServiceUnavailable, "too many connections")
	_ = held[0].Close()
	eventually(t, "served again", func() bool { return c.Ready(t.Context()) == nil })
	if text := string(render(s.counts.metrics())); strings.Contains(text, "refused_total 0\n") {
		t.Error(text)
	}
}

func TestManyClients(t *testing.T) {
	a := &agent{}
	_, socket := serve(t, a, nil)
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			c := client(t, socket)
			defer c.Close()
			for range 20 {
				if _, err := c.Status(t.Context()); err != nil {
					t.Error(err)
				}
				if err := c.Override(t.Context(), []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if len(a.overrides) != 32*20 {
		t.Errorf("%d overrides", len(a.overrides))
	}
}

// Bodies are read a few at a time; who waits too long is told.
func TestManyBodies(t *testing.T) {
	_, socket := serve(t, &agent{}, func(l *limits) { l.bodies, l.handle = 1, 100*time.Millisecond })
	slow, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	_, _ = io.WriteString(slow, "PUT /v1/override HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nfour")
	c := client(t, socket)
	eventually(t, "busy", func() bool { return c.Override(t.Context(), []byte("x")) != nil })
	refused(t, c.Override(t.Context(), []byte("x")), http.StatusServiceUnavailable, "others are sending")
	_, _ = io.WriteString(slow, "sixmor")
	eventually(t, "free", func() bool { return c.Override(t.Context(), []byte("x")) == nil })
}

// Every event comes, in order, and the agent is told when the watch is over.
func TestWatch(t *testing.T) {
	a := &agent{}
	_, socket := serve(t, a, func(l *limits) { l.heartbeat = time.Millisecond })
	ctx, leave := context.WithCancel(t.Context())
	got := make(chan agentapi.Event)
	var watch sync.WaitGroup
	watch.Go(func() {
		defer close(got)
		for e, err := range client(t, socket).Watch(ctx) {
			if err != nil {
				t.Error(err)
				return
			}
			got <- e
		}
	})
	eventually(t, "watched", func() bool { return a.watching() == 1 })
	for i := range 100 {
		want := agentapi.Event{Time: noon().Add(time.Duration(i)), Kind: agentapi.EventService, Service: "api", State: "healthy"}
		a.send(t, want)
		if e := <-got; e != want {
			t.Fatalf("got %+v, want %+v", e, want)
		}
	}
	leave()
	watch.Wait()
	eventually(t, "left", func() bool { return a.watching() == 0 })
}

// A watch that nobody reads holds up nobody, takes a bounded part of memory,
// and tells what it missed once it is read again.
func TestWatchUnread(t *testing.T) {
	a := &agent{}
	s, socket := serve(t, a, func(l *limits) { l.queue = 10 })
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n")
	eventually(t, "watched", func() bool { return a.watching() == 1 })
	const sent = 20000
	for range sent {
		a.send(t, agentapi.Event{Time: noon(), Kind: agentapi.EventService, Detail: strings.Repeat("x", 200)})
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	read, missed := 0, 0
	lines := bufio.NewScanner(answer.Body)
	for read+missed < sent && lines.Scan() {
		if lines.Text() == "" {
			continue
		}
		var e agentapi.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		n := 0
		if e.Kind != agentapi.EventLost {
			read++
		} else if _, err := fmt.Sscanf(e.Detail, "%d events were missed", &n); err != nil {
			t.Fatalf("%q: %v", e.Detail, err)
		}
		missed += n
	}
	if read == 0 || missed < sent/2 || lines.Err() != nil {
		t.Errorf("read %d, missed %d of %d, %v", read, missed, sent, lines.Err())
	}
	a.send(t, agentapi.Event{Time: noon(), Kind: agentapi.EventHost, Host: "db1"})
	for found := false; !found; {
		if !lines.Scan() {
			t.Fatal("the watch does not go on")
		}
		found = strings.Contains(lines.Text(), "db1")
	}
	if text := string(render(s.counts.metrics())); strings.Contains(text, "lost_events_total 0\n") {
		t.Error(text)
	}
}

func TestManyWatches(t *testing.T) {
	a := &agent{}
	_, socket := serve(t, a, func(l *limits) { l.watches = 1 })
	ctx, leave := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() {
		for range client(t, socket).Watch(ctx) {
		}
	})
	eventually(t, "watched", func() bool { return a.watching() == 1 })
	for _, err := range client(t, socket).Watch(t.Context()) {
		refused(t, err, http.StatusServiceUnavailable, "watch this agent already")
	}
	leave()
	watch.Wait()
}

// Stop ends watches with a word and waits for them.
func TestStop(t *testing.T) {
	a := &agent{}
	s, socket := serve(t, a, nil)
	ended := make(chan error, 1)
	go func() {
		for _, err := range client(t, socket).Watch(context.Background()) {
			ended <- err
		}
	}()
	eventually(t, "watched", func() bool { return a.watching() == 1 })
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, agentapi.ErrWatchEnded) {
		t.Errorf("got %v", err)
	}
	if a.watching() != 0 {
		t.Error("the agent still has a watch")
	}
	if err := client(t, socket).Ready(t.Context()); err == nil {
		t.Error("it serves on")
	}
}
