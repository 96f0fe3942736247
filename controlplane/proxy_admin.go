package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"
)

// adminSocketName is the administration socket of this host's Envoy, in the
// runtime folder.
const adminSocketName = "envoy/admin.sock"

// adminTimeout bounds a question to Envoy. Its main thread answers in
// milliseconds, unless it is computing what it was told.
const adminTimeout = 3 * time.Second

// maxAdminAnswer bounds what Envoy answers, in bytes: 1,000 clusters of 50
// endpoints are some 30 MB.
const maxAdminAnswer = 64 << 20

// admin asks this host's Envoy about itself. One question is asked at a time, so
// that many who look cost Envoy no more than one.
type admin struct {
	client  *http.Client
	timeout time.Duration // of a question
	turn    turn
	dumping turn // of dumps, see dump
}

var errNoAdmin = errors.New("this agent has no socket to ask Envoy")

// newAdmin makes one that asks the Envoy of a runtime folder, "" = none.
func newAdmin(runtime string, timeout time.Duration) *admin {
	if runtime == "" {
		return &admin{}
	}
	path := filepath.Join(runtime, adminSocketName)
	return &admin{timeout: timeout, turn: newTurn(), dumping: newTurn(), client: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true, // its socket is another one after a restart
	}}}
}

// get asks for a path, with a deadline.
func (a *admin) get(ctx context.Context, path string) ([]byte, error) {
	return a.ask(ctx, http.MethodGet, path)
}

// ask is get with any method: POST is for what changes Envoy.
func (a *admin) ask(ctx context.Context, method, path string) ([]byte, error) {
	if a.client == nil {
		return nil, errNoAdmin
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	select {
	case a.turn <- struct{}{}:
		defer a.turn.give()
	case <-ctx.Done():
		return nil, fmt.Errorf("ask Envoy: %w", context.Cause(ctx))
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://envoy"+path, nil)
	if err != nil {
		return nil, fmt.Errorf("ask Envoy: %w", err)
	}
	answer, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask Envoy: %w", errors.Unwrap(err)) // without the URL, which says nothing
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAdminAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask Envoy: %w", err)
	case len(body) > maxAdminAnswer:
		return nil, fmt.Errorf("ask Envoy: its answer has more than %d MiB", maxAdminAnswer>>20)
	case answer.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask Envoy: it answers with status %d", answer.StatusCode)
	}
	return body, nil
}
