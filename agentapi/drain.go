package agentapi

import (
	"context"
	"net/http"
)

// Drain is a host that sends its callers elsewhere, so that its Envoy can be
// restarted without anybody noticing. It ends by itself: when another Envoy takes
// calls, or after a while.
type Drain struct {
	Draining bool    `json:"draining"`
	Ended    string  `json:"ended,omitempty"` // why it is over, one line; "" before the first
	Renewed  bool    `json:"renewed"`         // it is over since another Envoy takes calls
	Took     float64 `json:"took_s"`          // until callers were told and calls had ended

	Leaving []string `json:"leaving,omitempty"` // services whose calls go to other hosts, "api@v1"
	Staying []string `json:"staying,omitempty"` // services that no other host has ready: they stay, and miss the moment
	Told    []string `json:"told,omitempty"`    // hosts whose Envoys know
	Silent  []string `json:"silent,omitempty"`  // hosts of which that is not certain
	Active  int      `json:"active"`            // requests that were still under way, -1 = not known
}

// BeginDrain begins to drain the agent's host. It answers when callers are told and
// requests have ended, or had time to.
func (c *Client) BeginDrain(ctx context.Context) (*Drain, error) {
	body, err := c.call(ctx, http.MethodPut, PathDrain, nil)
	if err != nil {
		return nil, err
	}
	var d Drain
	return &d, decode(body, &d)
}

// Drain is the drain that is under way, or the last one.
func (c *Client) Drain(ctx context.Context) (*Drain, error) {
	var d Drain
	if err := c.get(ctx, PathDrain, &d); err != nil {
		return nil, err
	}
	return &d, nil
}
