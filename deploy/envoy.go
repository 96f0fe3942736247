package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nixmesh/nixmesh/agentapi"
	"github.com/nixmesh/nixmesh/hostfacts"
	"github.com/nixmesh/nixmesh/rollback"
)

// EnvoyChange is an Envoy that a switch leaves running though the new system names
// another one, or another way to start it.
type EnvoyChange struct {
	From string `json:"from,omitempty"` // versions; "" = not known
	To   string `json:"to"`
}

// String is "envoy 1.40.0 -> 1.40.1: restart, drained".
func (c EnvoyChange) String() string {
	switch c.From {
	case "":
		return fmt.Sprintf("envoy -> %s: restart, drained", c.To)
	case c.To:
		return fmt.Sprintf("envoy %s: restart, drained (it starts with another file)", c.To)
	}
	return fmt.Sprintf("envoy %s -> %s: restart, drained", c.From, c.To)
}

// EnvoyResult is how a restart went.
type EnvoyResult struct {
	EnvoyChange
	Took   Seconds `json:"seconds"`         // from the beginning of the drain until it takes calls
	Error  string  `json:"error,omitempty"` // why it did not, or was not restarted
	Next   *Next   `json:"next,omitempty"`  // what helps then, nil where only another try does
	Active int     `json:"active"`          // requests under way that it ended
}

// Bounds of a restart.
const (
	envoyCall  = 75 * time.Second       // all of it: what the agent and the host take at most
	envoyServe = 30 * time.Second       // after the restart, until it takes calls
	envoyAsk   = 100 * time.Millisecond // between questions
)

// envoyChange compares what runs on a host with what the facts of its next system
// name. A host whose system stays may still run an Envoy of an earlier one.
func (h *HostPlan) envoyChange(next *hostfacts.Facts) *EnvoyChange {
	if h.seen == nil || h.seen.Status == nil || h.seen.Status.Envoy == nil {
		return nil
	}
	runs := h.seen.Status.Envoy
	switch h.Action {
	case ActionUnchanged:
		if runs.Stale {
			return &EnvoyChange{From: runs.Version, To: runs.Wanted}
		}
	case ActionChange:
		if next == nil || next.Mesh == nil || next.Mesh.Envoy == nil {
			return nil
		}
		if want := next.Mesh.Envoy; runs.Binary != want.Binary || runs.Bootstrap != want.Bootstrap {
			return &EnvoyChange{From: runs.Version, To: want.Version}
		}
	}
	return nil
}

// leftEnvoys are the hosts whose system stays, and whose Envoy has to be restarted.
func (p *Plan) leftEnvoys() []*HostPlan {
	var left []*HostPlan
	for _, h := range p.Hosts {
		if h.Action == ActionUnchanged && h.Envoy != nil {
			left = append(left, h)
		}
	}
	return left
}

// staleEnvoy is what has to be restarted now that a host has committed: what it
// says of itself counts, not what was planned.
func staleEnvoy(runs *rollback.EnvoyState) *EnvoyChange {
	if runs == nil || !runs.Stale {
		return nil
	}
	return &EnvoyChange{From: runs.Version, To: runs.Wanted}
}

// renewEnvoys restarts those of hosts that are not switched.
func (e *execution) renewEnvoys(soft, hard context.Context) {
	for _, h := range e.plan.leftEnvoys() {
		if e.stopping(soft) || e.o.Run.Test {
			return
		}
		r := newResult(h)
		r.End, r.Envoy = EndUnchanged, e.renewEnvoy(hard, h.Host, *h.Envoy)
		e.set(r)
	}
}

// renewEnvoy restarts the Envoy of a host without its callers noticing: they are
// sent elsewhere first. One host at a time, and none after one that failed. The
// system stays whatever happens: a later deploy sees what runs, and tries again.
func (e *execution) renewEnvoy(ctx context.Context, host string, change EnvoyChange) *EnvoyResult {
	e.envoys.Lock()
	defer e.envoys.Unlock()
	r := &EnvoyResult{EnvoyChange: change}
	if e.envoyFailed != "" {
		r.Error = "not tried after that of " + e.envoyFailed + " failed; the one that runs goes on"
		e.d.note(host, "its Envoy was not renewed: %s", r.Error)
		return r
	}
	ctx, cancel := context.WithTimeoutCause(ctx, envoyCall, fmt.Errorf("not done within %s", envoyCall))
	defer cancel()
	begun := e.d.now()
	e.d.note(host, "%s", change)
	drain, stopped, err := e.restartEnvoy(ctx, host)
	r.Took = took(e.d.now().Sub(begun))
	if err != nil {
		r.Error, r.Next = plain(host, err), nextOfEnvoy(host, err, stopped)
		if !stopped {
			r.Error += "; the one that runs goes on"
		}
		e.envoyFailed = host
		e.stop("the Envoy of " + host + " was not renewed")
		e.d.note(host, "its Envoy was not renewed: %s", r.Error)
		return r
	}
	r.Active = drain.Active
	e.d.note(host, "envoy %s takes calls after %.1f s%s", change.To, r.Took.D().Seconds(), drainText(drain))
	return r
}

// nextOfEnvoy is what helps a host whose Envoy was not renewed; stopped says that
// the one of before does not run any more.
func nextOfEnvoy(host string, err error, stopped bool) *Next {
	if next := nextOf(err); next != "" && !stopped {
		return &Next{Command: next, Why: "why the Envoy of " + host + " was not renewed"}
	}
	return &Next{Command: "nixmesh exec --on " + host + " -- systemctl status " + hostfacts.EnvoyUnit, Why: "how the Envoy of " + host + " is"}
}

// restartEnvoy drains, restarts and waits until calls are taken. The agent itself
// ends the drain, so nothing stays behind when this is interrupted. stopped says
// whether the restart was begun.
func (e *execution) restartEnvoy(ctx context.Context, host string) (drain *agentapi.Drain, stopped bool, err error) {
	l, err := e.d.link(host)
	if err != nil {
		return nil, false, err
	}
	agent, err := e.d.agent(ctx, host)
	if err != nil {
		return nil, false, err
	}
	defer agent.Close()
	if err := l.insist(ctx, envoyCall, rollback.VerbEnvoy, nil, rollback.EnvoyRequest{Check: true}, nil); err != nil {
		return nil, false, err
	}
	if drain, err = agent.BeginDrain(ctx); err != nil {
		return nil, false, fmt.Errorf("send its callers elsewhere: %w", err)
	}
	var answer rollback.EnvoyAnswer
	if err := l.insist(ctx, envoyCall, rollback.VerbEnvoy, nil, rollback.EnvoyRequest{}, &answer); err != nil {
		return nil, true, err
	}
	if answer.Runs == nil || answer.Runs.Stale {
		return nil, true, fmt.Errorf("systemctl restart %s did not start the system's Envoy", hostfacts.EnvoyUnit)
	}
	return drain, true, takesCalls(ctx, agent)
}

// takesCalls waits until the agent has ended the drain, as another Envoy takes
// calls.
func takesCalls(ctx context.Context, agent *agentapi.Client) error {
	ctx, cancel := context.WithTimeoutCause(ctx, envoyServe, fmt.Errorf("it does not take calls %s after its restart", envoyServe))
	defer cancel()
	for {
		now, err := agent.Drain(ctx)
		switch {
		case err == nil && now.Renewed:
			return nil
		case err == nil && !now.Draining:
			return fmt.Errorf("it does not take calls: %s", now.Ended)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(envoyAsk):
		}
	}
}

// drainText tells what a person might want to know of a drain.
func drainText(d *agentapi.Drain) string {
	text := ""
	if len(d.Silent) > 0 {
		text += fmt.Sprintf("; %s did not say that their Envoys knew", strings.Join(d.Silent, ", "))
	}
	if d.Active > 0 {
		text += fmt.Sprintf("; %s cut off", plural(d.Active, "request"))
	}
	if len(d.Staying) > 0 {
		text += fmt.Sprintf("; nobody else has %s, whose callers were refused for a moment", strings.Join(d.Staying, ", "))
	}
	return text
}
