package delta

import (
	"cmp"
	"log/slog"
	"time"
)

// Options are what a Server is made of. The zero value is usable.
type Options struct {
	Logger  *slog.Logger // nil: says nothing
	Timings Timings
}

// Timings bound every wait for Envoy. Zero is the default.
type Timings struct {
	// Warm bounds how long a listener or route waits for the clusters it names to be
	// warm. Then it goes out all the same: a cluster that never warms holds up nothing else.
	Warm time.Duration // 3 s

	// Ack bounds how long the next message of a type, or the removals of a change,
	// wait for what is not acknowledged.
	Ack time.Duration // 5 s

	// Retry is the first wait before a listener whose port was taken is offered
	// again. It doubles up to RetryMost.
	Retry, RetryMost time.Duration // 500 ms, 30 s
}

func (t Timings) orDefault() Timings {
	return Timings{
		Warm:  cmp.Or(t.Warm, 3*time.Second),
		Ack:   cmp.Or(t.Ack, 5*time.Second),
		Retry: cmp.Or(t.Retry, 500*time.Millisecond), RetryMost: cmp.Or(t.RetryMost, 30*time.Second),
	}
}
