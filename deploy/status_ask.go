package deploy

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
)

// AgentDialer gives a client of a host's agent. Deployer.Agent is one.
type AgentDialer func(ctx context.Context, host string) (*agentapi.Client, error)

// How long agents are waited for. A healthy one answers within milliseconds;
// what takes longer is a connection to a host that is away.
const (
	askAtOnce   = 5                // agents whose views are compared
	askPatience = 3 * time.Second  // before more are asked, or the slow are left out
	viewTimeout = 20 * time.Second // for all of it
)

var errSlowAgent = errors.New("no answer in time")

// asked is what one agent answered.
type asked[T any] struct {
	host   string
	answer *T // nil where err is
	err    error
}

// askSome asks agents in the order of hosts until as many as want answered, or
// nobody is left. While nobody answers, the next ones are asked, too; once
// somebody did, the others get as long again. The answers are in the order of
// hosts.
func askSome[T any](ctx context.Context, hosts []string, want int, ask func(ctx context.Context, host string) (*T, error)) []asked[T] {
	ctx, cancel := context.WithTimeoutCause(ctx, viewTimeout, errSlowAgent)
	defer cancel()
	late, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	results := make(chan asked[T], len(hosts))
	waiting := hosts
	open, good := 0, 0
	start := func(n int) {
		for ; n > 0 && len(waiting) > 0; n-- {
			host := waiting[0]
			waiting = waiting[1:]
			open++
			go func() { // it is waited for below, by open
				answer, err := ask(late, host)
				results <- asked[T]{host, answer, err}
			}()
		}
	}
	start(want)
	patience := time.NewTimer(askPatience)
	defer patience.Stop()
	var got []asked[T]
	for open > 0 {
		select {
		case r := <-results:
			open--
			got = append(got, r)
			switch {
			case r.err == nil:
				if good++; good == 1 {
					patience.Reset(askPatience)
				}
			case good == 0:
				start(1)
			}
		case <-patience.C:
			if good > 0 {
				leave(errSlowAgent)
			} else {
				start(want)
				patience.Reset(askPatience)
			}
		}
	}
	slices.SortFunc(got, func(a, b asked[T]) int { return slices.Index(hosts, a.host) - slices.Index(hosts, b.host) })
	return got
}

// askEach asks the agents of all hosts, each within the patience.
func askEach[T any](ctx context.Context, hosts []string, ask func(ctx context.Context, host string) (*T, error)) []asked[T] {
	got := make([]asked[T], len(hosts))
	each(hosts, inspectWidth, func(host string) {
		ctx, cancel := context.WithTimeoutCause(ctx, viewTimeout, errSlowAgent)
		defer cancel()
		answer, err := ask(ctx, host)
		got[slices.Index(hosts, host)] = asked[T]{host, answer, err}
	})
	return got
}

// statusOf asks for a status, certsOf for certificates. The dialer's error is
// of the host's connection, or of its agent.
func statusOf(agent AgentDialer) func(ctx context.Context, host string) (*agentapi.Status, error) {
	return func(ctx context.Context, host string) (*agentapi.Status, error) {
		c, err := agent(ctx, host)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.Status(ctx)
	}
}

func certsOf(agent AgentDialer) func(ctx context.Context, host string) (*agentapi.Certs, error) {
	return func(ctx context.Context, host string) (*agentapi.Certs, error) {
		c, err := agent(ctx, host)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		return c.Certs(ctx)
	}
}
