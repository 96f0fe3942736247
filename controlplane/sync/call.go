package sync

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Bounds of calls.
const (
	MaxBody   = 1 << 20  // bytes of a request
	MaxAnswer = 17 << 20 // bytes of an answer: a mesh document and some
	MaxCalls  = 4        // of one host at once

	// CallTimeout is how long an answer may take; a caller may want to wait less.
	CallTimeout = 30 * time.Second
)

// CallError is why a Call has no answer.
type CallError struct {
	Host string

	// Refused says that the host answered, and that it does not want to: Text is
	// the handler's. Else the host was not reached, or its answer did not come.
	Refused bool
	Text    string

	cause error
}

func (e *CallError) Error() string {
	if e.Refused {
		return fmt.Sprintf("%s refuses: %s", e.Host, e.Text)
	}
	return fmt.Sprintf("ask %s: %s", e.Host, e.Text)
}

func (e *CallError) Unwrap() error { return e.cause }

// Call asks a handler of another host. It waits for its turn while MaxCalls to
// that host are under way. An error is a *CallError.
func (s *Sync) Call(ctx context.Context, host, method string, body []byte) ([]byte, error) {
	failed := func(err error) ([]byte, error) {
		return nil, &CallError{Host: host, Text: err.Error(), cause: err}
	}
	switch {
	case !methodForm.MatchString(method):
		return failed(fmt.Errorf("%q is no method", method))
	case len(body) > MaxBody:
		return failed(fmt.Errorf("%d bytes to send, at most %d are taken", len(body), MaxBody))
	case !s.enter():
		return failed(ErrState)
	}
	defer s.work.Done()
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	s.counters.calls.Add(1)
	p, turn := s.caller(host)
	if p == nil {
		return failed(errGone)
	}
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
	case <-ctx.Done():
		return failed(context.Cause(ctx))
	}
	l, release, err := s.reach(ctx, p)
	if err != nil {
		return failed(err)
	}
	defer release()
	status, answer, err := l.post(ctx, pathCall+method, body, MaxAnswer)
	switch {
	case err != nil:
		return failed(err)
	case status == http.StatusOK:
		return answer, nil
	case status == http.StatusUnprocessableEntity || status == http.StatusNotFound:
		return nil, &CallError{Host: host, Refused: true, Text: string(answer)}
	}
	return failed(fmt.Errorf("it answers %d %.200q", status, answer))
}

func (s *Sync) caller(host string) (p *peer, turn chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p = s.peers[host]; p == nil {
		return nil, nil
	}
	if p.asking == nil {
		p.asking = make(chan struct{}, MaxCalls)
	}
	return p, p.asking
}

// serveCall answers a call.
func (s *Sync) serveCall(r *http.Request, c *conn, method string) (answer []byte, err error) {
	handler := s.opts.Handlers[method]
	if handler == nil {
		return nil, &declined{http.StatusNotFound, fmt.Errorf("there is no method %.80q", method)}
	}
	end, ok := s.takeTurn(c.host, MaxCalls, func(p *peer) *int { return &p.serving })
	if !ok {
		return nil, &declined{http.StatusTooManyRequests, errBusy}
	}
	defer end()
	select {
	case s.calls <- struct{}{}:
		defer func() { <-s.calls }()
	case <-r.Context().Done():
		return nil, &declined{http.StatusServiceUnavailable, errBusy}
	}
	body, err := readBody(r.Body, MaxBody)
	if err != nil {
		return nil, bad(err)
	}
	s.counters.callsServed.Add(1)
	err = s.guard(c.host, "call "+method, body, func() error {
		answer, err = handler(r.Context(), c.host, body)
		return err
	})
	switch {
	case errors.Is(err, errPanicked):
		return nil, err
	case err != nil:
		return nil, &declined{http.StatusUnprocessableEntity, err}
	case len(answer) > MaxAnswer:
		return nil, fmt.Errorf("the answer has %d bytes, at most %d are sent", len(answer), MaxAnswer)
	}
	return answer, nil
}

// takeTurn counts what is served to a host until end, unless it is too much at
// once: what a host begins and never ends keeps nobody else waiting.
func (s *Sync) takeTurn(host string, most int, count func(*peer) *int) (end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[host]
	if p == nil || *count(p) >= most {
		return nil, false
	}
	*count(p)++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		*count(p)--
	}, true
}
