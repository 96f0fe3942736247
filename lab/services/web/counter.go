package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// counterTimeout bounds what a page waits for the counter: it is an ornament.
const counterTimeout = 500 * time.Millisecond

// counter counts pages of all web servers in Redis.
type counter struct{ client *redis.Client }

// newCounter connects to nothing yet.
func newCounter(address string) *counter {
	return &counter{redis.NewClient(&redis.Options{
		Addr:                     address,
		DialTimeout:              counterTimeout,
		ReadTimeout:              counterTimeout,
		PoolSize:                 4,
		DialerRetries:            1,
		MaxRetries:               1,
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})}
}

func (c *counter) close() { _ = c.client.Close() } // nothing is in flight

// add counts a page and gives a line on it. A counter that is away, or nil, is no
// reason to have no page.
func (c *counter) add(ctx context.Context) string {
	if c == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, counterTimeout)
	defer cancel()
	n, err := c.client.Incr(ctx, "pages").Result()
	if err != nil {
		return fmt.Sprintf("  redis: %v\n", err)
	}
	return fmt.Sprintf("  redis: page %d\n", n)
}
