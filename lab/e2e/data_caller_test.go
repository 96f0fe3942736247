package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nixmesh/nixmesh/internal/testkit/labuser"
)

// answerTime bounds what a connection may take for one line, message or handshake.
// What goes well takes a part of it, on any machine; what hangs has to end.
const answerTime = 30 * time.Second

// caller is a user of a lab host, who speaks as the user's service does.
type caller struct {
	labuser.User
	host, user string
}

// as is a user of a host, such as nm-web, or root.
func (f *fleet) as(host, user string) *caller {
	f.t.Helper()
	u, err := labuser.Find(f.host(host).PID, user)
	if err != nil {
		f.t.Fatal(err)
	}
	return &caller{u, host, user}
}

func (c *caller) String() string { return c.user + " on " + c.host }

// said is an answer of HTTP; status is 0 where there is none.
type said struct {
	status int
	body   string
	header http.Header
	err    error
	took   time.Duration
}

func (s said) String() string {
	if s.err != nil {
		return fmt.Sprintf("%v after %s", s.err, s.took.Round(time.Millisecond))
	}
	return fmt.Sprintf("%d after %s: %s", s.status, s.took.Round(time.Millisecond), strings.TrimSpace(s.body))
}

// one makes a request, with names and values of headers, and reads the answer.
func one(client *http.Client, method, url string, header ...string) (s said) {
	began := time.Now()
	defer func() { s.took = time.Since(began) }()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return said{err: err}
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return said{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return said{status: response.StatusCode, body: string(body), header: response.Header, err: err}
}

// get asks once, on a connection of its own.
func (c *caller) get(url string) said {
	client := c.Client(false)
	defer client.CloseIdleConnections()
	return one(client, http.MethodGet, url)
}

// wantStatus waits until a request is answered with a status.
func (c *caller) wantStatus(t *testing.T, url string, status int) said {
	t.Helper()
	var s said
	if !within(patience, func() bool { s = c.get(url); return s.err == nil && s.status == status }) {
		t.Fatalf("%s asks %s: want %d, got %s", c, url, status, s)
	}
	return s
}

// refused fails unless a connection is refused.
func (c *caller) refused(t *testing.T, address string) {
	t.Helper()
	if err := c.dials(t, address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%s dials %s: %v, want refused", c, address, err)
	}
}

// dials says why a connection does not come about, nil where it does.
func (c *caller) dials(t *testing.T, address string) error {
	conn, err := c.DialContext(t.Context(), "tcp", address)
	if err == nil {
		conn.Close()
	}
	return err
}

// sayLine sends a line on a connection and reads one.
func sayLine(conn net.Conn, r *bufio.Reader, text string) (string, error) {
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return "", err
	}
	if text != "" {
		if _, err := fmt.Fprintln(conn, text); err != nil {
			return "", err
		}
	}
	got, err := r.ReadString('\n')
	return strings.TrimSuffix(got, "\n"), err
}

// socket speaks HTTP at a Unix socket of the host.
func (c *caller) socket(path string) *http.Client {
	return &http.Client{Timeout: answerTime, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return c.DialContext(ctx, "unix", path)
	}}}
}
