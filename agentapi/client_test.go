package agentapi

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// answering is a client of an agent that answers every request with what answer
// writes to the connection, and then closes it.
func answering(t *testing.T, answer func(c net.Conn)) *Client {
	t.Helper()
	c := NewClient(func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() { // ends with the client's end
			defer theirs.Close()
			r, err := http.ReadRequest(bufio.NewReader(theirs))
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			answer(theirs)
		}()
		return ours, nil
	})
	t.Cleanup(c.Close)
	return c
}

// saying answers with a status and a body.
func saying(t *testing.T, status int, body string) *Client {
	t.Helper()
	return answering(t, func(c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
	})
}

// An answer that is not the agent's is an error, whatever it is.
func TestGarbage(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"no JSON":        {200, "<html>", "read the agent's answer"},
		"another schema": {200, `{"schema":"nixmesh.agent/2"}`, `it is "nixmesh.agent/2", this nixmesh reads nixmesh.agent/1`},
		"no schema":      {200, `{}`, "this nixmesh reads"},
		"wrong types":    {200, `{"schema":"nixmesh.agent/1","hosts":7}`, "read the agent's answer"},
		"deep":           {200, strings.Repeat("[", 100000), "read the agent's answer"},
		"an error":       {503, `{"error":"not now","next":"wait"}`, "not now"},
		"escapes":        {403, `{"error":"\u001b[2J\u202eno\nno"}`, "?[2J?no no"},
		"a long error":   {500, `{"error":"` + strings.Repeat("x", 10000) + `"}`, strings.Repeat("x", maxText) + "..."},
		"no error":       {500, "oops", "the agent answered with status 500"},
		"a redirect":     {302, "", "the agent answered with status 302"},
	} {
		_, err := saying(t, c.status, c.body).Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		var f *Failure
		if c.status != 200 && (!errors.As(err, &f) || f.Status != c.status) {
			t.Errorf("%s: got %#v", name, err)
		}
	}
	for name, text := range map[string]string{
		"nothing":        "",
		"no HTTP":        "\x16\x03\x01\x00\x00",
		"half":           "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
		"endless header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 10*maxHeader) + "\r\n\r\n{}",
	} {
		c := answering(t, func(c net.Conn) { _, _ = io.WriteString(c, text) })
		if _, err := c.Status(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// An agent that never stops is cut off.
func TestEndlessAnswer(t *testing.T) {
	c := answering(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		block := make([]byte, 1<<20)
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	if _, err := c.Metrics(t.Context()); err == nil || !strings.Contains(err.Error(), "larger than 64 MiB") {
		t.Errorf("got %v", err)
	}
}

// An agent that does not answer is left with the context, and the error says
// the context's reason.
func TestSilentAgent(t *testing.T) {
	slow := errors.New("too slow")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, slow)
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	c := answering(t, func(net.Conn) { <-over })
	if _, err := c.Status(ctx); !errors.Is(err, slow) {
		t.Errorf("got %v", err)
	}
	failed := errors.New("no route to host")
	c = NewClient(func(context.Context) (net.Conn, error) { return nil, failed })
	if err := c.Ready(t.Context()); !errors.Is(err, failed) || strings.Contains(err.Error(), "http://") {
		t.Errorf("got %v", err)
	}
}

// What another machine says cannot steer the terminal; PEM stays as it is.
func TestTextsAreLines(t *testing.T) {
	s := Status{Schema: StatusSchema, Host: "a\x1bb", Hosts: []Host{{Name: "plain", Problem: "two\nlines"}}, Offered: &Offered{Reason: "\u202e"},
		Services: []Service{{Endpoints: []Endpoint{{Reason: "naïve – fine"}}}}}
	body, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	got, err := saying(t, 200, string(body)).Status(t.Context())
	if err != nil || got.Host != "a?b" || got.Hosts[0].Problem != "two lines" || got.Offered.Reason != "?" || got.Services[0].Endpoints[0].Reason != "naïve – fine" {
		t.Errorf("got %+v, %v", got, err)
	}
	r, err := saying(t, 200, `{"host":"a","request":"-----BEGIN\nX\n"}`).AuthorityRequest(t.Context())
	if err != nil || r.Request != "-----BEGIN\nX\n" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestWatchLines(t *testing.T) {
	const header = "HTTP/1.1 200 OK\r\n\r\n"
	for name, c := range map[string]struct {
		text   string
		events int
		want   string
	}{
		"ends":       {header + "\n\n{\"kind\":\"host\"}\n\n{\"kind\":\"cert\"}\n", 2, ErrWatchEnded.Error()},
		"cut off":    {header + "{\"kind\":\"host\"}\n{\"ki", 1, "read the agent's watch"},
		"a long one": {header + strings.Repeat("x", 2*maxLine), 0, "token too long"},
		"refused":    {"HTTP/1.1 503 x\r\nContent-Length: 14\r\n\r\n{\"error\":\"no\"}", 0, "no"},
	} {
		events, last := 0, error(nil)
		for _, err := range answering(t, func(conn net.Conn) { _, _ = io.WriteString(conn, c.text) }).Watch(t.Context()) {
			if err == nil {
				events++
			}
			last = err
		}
		if events != c.events || last == nil || !strings.Contains(last.Error(), c.want) {
			t.Errorf("%s: %d events, then %v", name, events, last)
		}
	}
	// Who has enough leaves, and the connection with it.
	gone := make(chan struct{})
	c := answering(t, func(conn net.Conn) {
		defer close(gone)
		_, _ = io.WriteString(conn, header)
		for {
			if _, err := io.WriteString(conn, "{\"kind\":\"host\"}\n"); err != nil {
				return
			}
		}
	})
	for range c.Watch(t.Context()) {
		break
	}
	<-gone
}

// Whatever an agent answers, the client gives an answer or an error.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"schema\":\"nixmesh.agent/1\"}\n\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n1\r\n1\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 503 x\r\n\r\n{\"error\":\"x\"}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		c := answering(t, func(c net.Conn) { _, _ = c.Write(text) })
		if s, err := c.Status(ctx); err == nil && s.Schema != StatusSchema {
			t.Errorf("took %q", s.Schema)
		}
		for _, err := range c.Watch(ctx) {
			if err != nil {
				break
			}
		}
	})
}
