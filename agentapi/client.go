package agentapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Bounds of what an agent may answer, in bytes.
const (
	maxAnswer = 64 << 20 // a status of thousands of services is a few MB
	maxError  = 64 << 10
	maxLine   = 64 << 10 // of a watch
	maxHeader = 16 << 10
)

// Client asks one agent. It is safe for many goroutines; Close ends its
// connections.
type Client struct {
	http      *http.Client
	transport *http.Transport
}

// NewClient makes a client that reaches the agent's socket by dial: a Unix
// socket of this machine, or a bridge to a remote one.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	t := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression:     true,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second, // sooner than the agent closes it
		MaxResponseHeaderBytes: maxHeader,
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{http: &http.Client{Transport: t, CheckRedirect: noRedirect}, transport: t}
}

// Close closes the connections that wait for another request.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Failure is an answer that is none: what the agent refused, or cannot do.
type Failure struct {
	Status int    // of HTTP
	Text   string // one line, of the agent
	Advice string // what the agent says to do next, or ""
}

// Error is the agent's text.
func (f *Failure) Error() string { return f.Text }

// Next is the agent's advice.
func (f *Failure) Next() string { return f.Advice }

// Status is the fleet as the agent sees it.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	if err := c.get(ctx, PathStatus, &s); err != nil {
		return nil, err
	}
	return &s, checkSchema(s.Schema, StatusSchema)
}

// Certs are the certificates that the agent holds.
func (c *Client) Certs(ctx context.Context) (*Certs, error) {
	var certs Certs
	if err := c.get(ctx, PathCerts, &certs); err != nil {
		return nil, err
	}
	return &certs, checkSchema(certs.Schema, CertsSchema)
}

// Endpoints are whom the callers of the agent's host reach.
func (c *Client) Endpoints(ctx context.Context) (*Endpoints, error) {
	var e Endpoints
	if err := c.get(ctx, PathEndpoints, &e); err != nil {
		return nil, err
	}
	return &e, checkSchema(e.Schema, EndpointsSchema)
}

// Document is the signed document of a configuration's hash, "" being the one
// in force. A *Failure with status 404 says that there is none.
func (c *Client) Document(ctx context.Context, config string) ([]byte, error) {
	path := PathDocument
	if config != "" {
		path += "?" + url.Values{"config": {config}}.Encode()
	}
	return c.call(ctx, http.MethodGet, path, nil)
}

// Apply puts a signed document to the agent. That the agent refused it is no
// error: Applied says so.
func (c *Client) Apply(ctx context.Context, document []byte) (*Applied, error) {
	body, err := c.call(ctx, http.MethodPut, PathDocument, document)
	if err != nil {
		return nil, err
	}
	var a Applied
	if err := decode(body, &a); err != nil {
		return nil, err
	}
	return &a, nil
}

// Override puts a signed override to the agent.
func (c *Client) Override(ctx context.Context, override []byte) error {
	_, err := c.call(ctx, http.MethodPut, PathOverride, override)
	return err
}

// AuthorityRequest asks an authority for its request for an intermediate.
func (c *Client) AuthorityRequest(ctx context.Context) (*AuthorityRequest, error) {
	body, err := c.call(ctx, http.MethodGet, PathAuthority, nil)
	if err != nil {
		return nil, err
	}
	var r AuthorityRequest
	if err := json.Unmarshal(body, &r); err != nil { // its lines stay as they are: it is PEM
		return nil, fmt.Errorf("read the agent's answer: %w", err)
	}
	return &r, nil
}

// InstallAuthority gives an authority its intermediate, in PEM.
func (c *Client) InstallAuthority(ctx context.Context, pem []byte) error {
	_, err := c.call(ctx, http.MethodPut, PathAuthority, pem)
	return err
}

// Metrics are the agent's, as Prometheus reads them.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	return c.call(ctx, http.MethodGet, PathMetrics, nil)
}

// Ready is nil when the agent serves from a mesh configuration, else a *Failure
// with the reason.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.call(ctx, http.MethodGet, PathReady, nil)
	return err
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	body, err := c.call(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return decode(body, into)
}

// call sends one request and reads its answer, up to a bound.
func (c *Client) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	answer, err := c.open(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read the agent's answer: %w", cause(ctx, err))
	}
	if len(text) > maxAnswer {
		return nil, fmt.Errorf("read the agent's answer: it is larger than %d MiB", maxAnswer>>20)
	}
	return text, nil
}

// open sends one request. The answer's body is the caller's to close.
func (c *Client) open(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask the agent: %w", err)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		var u *url.Error // its "Get http://agent/…" says nothing to a person
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, fmt.Errorf("ask the agent: %w", cause(ctx, err))
	}
	if answer.StatusCode/100 == 2 {
		return answer, nil
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxError))
	var e Error
	if err != nil || json.Unmarshal(text, &e) != nil || e.Error == "" {
		e = Error{Error: fmt.Sprintf("the agent answered with status %d", answer.StatusCode)}
	}
	return nil, &Failure{Status: answer.StatusCode, Text: oneLine(e.Error), Advice: oneLine(e.Next)}
}

// cause is why ctx ended, if it did and err is that.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil && errors.Is(err, ctx.Err()) {
		return why
	}
	return err
}

// decode reads an answer whose texts are for people.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	clean(into)
	return nil
}

// checkSchema refuses an answer whose fields mean something else.
func checkSchema(have, want string) error {
	if have != want {
		return fmt.Errorf("read the agent's answer: it is %s, this nixmesh reads %s", oneLine(fmt.Sprintf("%q", have)), want)
	}
	return nil
}
