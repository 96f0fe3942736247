package hostfacts

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

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
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Address+c.Path, nil)
	if err != nil {
		return false, fmt.Sprintf("%s: %s", call, err)
	}
	request.Header.Set("User-Agent", userAgent)
	transport := newTransport(c.HTTP2)
	defer transport.CloseIdleConnections()
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

// newTransport is one for a single request: no proxy, no kept connection.
func newTransport(http2 bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Transport{
		DisableKeepAlives:  !http2, // with it, HTTP/2 would not be used
		DisableCompression: true,
		Protocols:          protocols,
		DialContext:        new(net.Dialer).DialContext,
	}
}
