package hostfacts

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// unixAddress begins the address of a Gate that is a Unix socket: no spec has one.
const unixAddress = "unix:"

// probeTCP passes when the port accepts a connection.
func probeTCP(ctx context.Context, c Check) (ok bool, answer string) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Address)
	if err != nil {
		return false, fmt.Sprintf("connect to %s: %s", c.Address, reason(ctx, c, err))
	}
	_ = conn.Close() // nothing was written that could be lost
	return true, "connected to " + c.Address
}

// probeHTTP passes on a 2xx status. A redirect is an answer like any other:
// following it would ask another server.
func probeHTTP(ctx context.Context, c Check) (ok bool, answer string) {
	call := "GET " + c.Path
	transport := newTransport(c.HTTP2)
	defer transport.CloseIdleConnections()
	host := c.Address
	if socket, ok := strings.CutPrefix(c.Address, unixAddress); ok {
		host = "localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+c.Path, nil)
	if err != nil {
		return false, fmt.Sprintf("%s: %s", call, err)
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false, fmt.Sprintf("%s: %s", call, reason(ctx, c, err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, snippetSize+1))
	if err != nil && ctx.Err() != nil {
		return false, fmt.Sprintf("%s %d: %s", call, response.StatusCode, reason(ctx, c, err))
	}
	answer = fmt.Sprintf("%s %d", call, response.StatusCode)
	if to := response.Header.Get("Location"); to != "" {
		answer += " to " + snippet([]byte(to))
	}
	if text := snippet(body); text != "" {
		answer += ": " + text
	}
	return response.StatusCode >= 200 && response.StatusCode < 300, answer
}

// userAgent lets a service tell checks from calls.
const userAgent = "nixmesh-check"

// maxHeader bounds the headers of an answer in bytes.
const maxHeader = 64 << 10

// newTransport is one for a single request: no proxy, no kept connection.
func newTransport(http2 bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Transport{
		DisableKeepAlives:      !http2, // with it, HTTP/2 would not be used
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              protocols,
		DialContext:            new(net.Dialer).DialContext,
	}
}
